// Loaded before a test file: uvu keeps what a `before` hook throws to itself, so that a file would fail without a word.

import { test } from "uvu";

for (const when of ["before", "after"]) {
  const register = test[when];
  const spoken = (hook) =>
    register(async (state) => {
      try {
        await hook(state);
      } catch (error) {
        console.error(`test.${when} failed:`, error);
        throw error;
      }
    });
  test[when] = Object.assign(spoken, { each: register.each });
}
