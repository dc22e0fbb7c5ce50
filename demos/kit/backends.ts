// What a page computes on, as one chooses.

export const backends = ["auto", "webgpu", "cpu"] as const;
export type BackendChoice = (typeof backends)[number];
