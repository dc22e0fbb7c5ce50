// What this page's server told it: a server of rooms has put its address into the page, a host of files has not.

const told = document.querySelector<HTMLMetaElement>('meta[name="shardgrad-rooms"]')?.content;

/** how others reach the server; undefined: there is none */
export const server: URL | undefined = told !== undefined && URL.canParse(told) ? new URL(told) : undefined;

/** What to give to others: where it leads depends on how they reach the server, not on how this page does. */
export const joinLink = (room: string, secret: string): string =>
  `${(server ?? location).origin}/room/${room}#${secret}`;

/** Others on other machines have no use for it. */
export const isLocalLink = (link: string): boolean => /^(localhost|127\..*|\[::1\])$/.test(new URL(link).hostname);
