/** Stands in for `node:buffer` where the console uses what is pure of the service: its length in UTF-8 is all that is asked. */
export const Buffer = {
  byteLength: (text: string): number => {
    let bytes = 0
    for (let at = 0; at < text.length; at++) {
      const unit = text.charCodeAt(at)
      const isPair = unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00
      if (isPair) at++
      bytes += unit < 0x80 ? 1 : unit < 0x800 ? 2 : isPair ? 4 : 3
    }
    return bytes
  },
}
