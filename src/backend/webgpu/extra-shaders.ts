// Shaders of kernels that only ranks take: whoever takes them brings them, so that a page with one rank does not load them.

export const extraShaders: Record<string, string> = {};
