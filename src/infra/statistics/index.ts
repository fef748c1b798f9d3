import fp from 'fastify-plugin'
import { StatsRecorder } from './recorder.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Adds up what happens, by the minute. */
    statistics: StatsRecorder
  }
}

/** Statistics as they happen: modules add to them, `modules/stats` answers from them, retention rolls them up. */
export default fp(
  async (app) => {
    const recorder = new StatsRecorder(app.pools.worker, app.log)
    app.decorate('statistics', recorder)
    app.addHook('onClose', () => recorder.close())
  },
  { name: 'statistics', dependencies: ['db'] },
)
