export interface MailContent {
  subject: string
  text: string
  html: string
}

/** @param name null when it is not known */
export function welcomeMail(name: string | null): MailContent {
  const greeting = name === null ? 'Welcome!' : `Welcome, ${name}!`
  const line = 'Good to have you with us. Reply to this mail whenever you have a question.'
  return {
    subject: greeting,
    text: `${greeting}\n\n${line}\n`,
    html: `<h1>${escapeHtml(greeting)}</h1><p>${line}</p>`,
  }
}

/** Names are what customers typed: they are text, never markup. */
function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
