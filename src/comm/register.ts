/** What each call of a group has, or each message of it: found by numbers under the group's name, which costs a fraction of a string made
 *  for each. */
export class Register<T> {
  readonly #groups = new Map<string, Map<number | string, T>>();

  get(group: string, id: number | string): T | undefined {
    return this.#groups.get(group)?.get(id);
  }

  set(group: string, { id, value }: { id: number | string; value: T }): void {
    const own = this.#groups.get(group);
    if (own) own.set(id, value);
    else this.#groups.set(group, new Map([[id, value]]));
  }

  delete(group: string, id: number | string): void {
    this.#groups.get(group)?.delete(id);
  }

  of(group: string): Iterable<T> {
    return this.#groups.get(group)?.values() ?? [];
  }

  all(): T[] {
    return [...this.#groups.values()].flatMap((own) => [...own.values()]);
  }

  clear(): void {
    this.#groups.clear();
  }
}
