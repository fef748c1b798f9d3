FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
# What production needs has no install scripts; the console's build is the next stage's.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24-slim AS console
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json ./
COPY console console
COPY src/lib src/lib
RUN node console/build.ts

FROM node:24-slim
WORKDIR /app
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000
COPY --from=dependencies /app/node_modules node_modules
COPY package.json ./
COPY db db
COPY tools/embedded-postgres tools/embedded-postgres
COPY src src
COPY --from=console /app/console/dist console/dist
USER node
EXPOSE 3000
# Liveness: a database that is away makes the service not ready, but restarting would not help. Load balancers ask
# /health/ready.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/health/live').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "src/server.ts"]
