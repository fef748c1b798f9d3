import t from 'tap'
import { readAutomationEvent } from '#modules/event/intake/request.ts'

const PRINTED = {
  event_type: 'customer.created',
  payload: { customer_id: 'cust_123', email: 'john@example.com', name: 'John Doe' },
  tenant_id: 'tenant_123',
}

t.test('the printed call names its shop by text, which only open mode takes for its one shop', async (t) => {
  t.match(readAutomationEvent(PRINTED, { isOpen: true }), {
    event: 'customer.created',
    data: PRINTED.payload,
  })
  t.match(readAutomationEvent(PRINTED, { isOpen: false }), [{ pointer: '/tenant_id', detail: /UUID/ }])
  const uuid = '11111111-1111-1111-1111-111111111111'
  for (const isOpen of [true, false]) {
    t.match(readAutomationEvent({ ...PRINTED, tenant_id: uuid }, { isOpen }), { tenantId: uuid })
    t.match(readAutomationEvent({ ...PRINTED, tenant_id: 7 }, { isOpen }), [{ pointer: '/tenant_id' }])
    t.match(readAutomationEvent([], { isOpen }), [{ pointer: '' }])
  }
})

t.test('what the inlet does not know is passed over, what it knows is checked', async (t) => {
  const body = { event_type: 'email.sent', payload: {}, id: 'm1', version: 2, sent_by: { x: 1 } }
  t.match(readAutomationEvent(body, { isOpen: false }), { event: 'email.sent', id: 'm1', data: {} })
  t.match(readAutomationEvent({ ...body, timestamp: '...', id: 7 }, { isOpen: false }), [
    { pointer: '/id' },
    { pointer: '/timestamp' },
  ])
})
