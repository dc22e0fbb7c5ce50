// The profiles that come with the package, by name.

import { namesWith, type Profile, partNamed, whole } from "./profile.ts";

/** Of devices, all with a network of their own. */
export const profileNames = namesWith("device");
/** Of networks, with devices or without. */
export const networkNames = namesWith("network");

/** @param network whose network is to be between the devices, in place of the profile's own
 *  @throws UserError for a name that none has */
export const profileNamed = (name: string, network?: string): Profile =>
  whole(partNamed(name, "device"), network === undefined ? undefined : partNamed(network, "network"));
