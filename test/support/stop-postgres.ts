/** Run by tap after the last test file (`after` in .taprc). */
import { stopTestServer } from './postgres-server.ts'

await stopTestServer()
