import { Type } from '@sinclair/typebox'

/** Conditional changes: the `headers` schema of routes whose resource has an ETag. */
export const IfMatch = Type.Object({
  'if-match': Type.Optional(
    Type.String({
      description:
        'The ETag that was read: the change is refused if it has moved on. Left out: whatever it is by now',
    }),
  ),
})

/** Conditional reads: the `headers` schema of lists with an ETag. */
export const IfNoneMatch = Type.Object({
  'if-none-match': Type.Optional(
    Type.String({ description: 'The ETag of an earlier answer: 304 if it still holds' }),
  ),
})
