// The profiles that come with the package, as their files say them: devices with their networks, then networks alone.

import a100 from "../../profiles/a100.json" with { type: "json" };
import ci from "../../profiles/ci.json" with { type: "json" };
import h100 from "../../profiles/h100.json" with { type: "json" };
import h200 from "../../profiles/h200.json" with { type: "json" };
import laptop from "../../profiles/laptop.json" with { type: "json" };
import m1 from "../../profiles/m1.json" with { type: "json" };
import m4 from "../../profiles/m4.json" with { type: "json" };
import meluxina from "../../profiles/meluxina.json" with { type: "json" };
import cable from "../../profiles/networks/cable.json" with { type: "json" };
import home from "../../profiles/networks/home.json" with { type: "json" };
import homes from "../../profiles/networks/homes.json" with { type: "json" };
import lan from "../../profiles/networks/lan.json" with { type: "json" };
import lanNode from "../../profiles/networks/lan-node.json" with { type: "json" };
import wan from "../../profiles/networks/wan.json" with { type: "json" };
import wifi from "../../profiles/networks/wifi.json" with { type: "json" };
import phone from "../../profiles/phone.json" with { type: "json" };

export const profileFiles: Readonly<Record<string, unknown>> = {
  ...{ a100, meluxina, h100, h200, m1, m4, laptop, phone, ci },
  ...{ lan, "lan-node": lanNode, wifi, wan, home, homes, cable },
};
