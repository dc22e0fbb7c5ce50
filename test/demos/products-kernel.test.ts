// The product's kernel on the Products page: the text that the library compiles, told apart by whether it ran.

import { test } from "uvu";
import * as assert from "uvu/assert";
import { create } from "webgpu";
import { WebGpuBackend } from "../../src/backend/webgpu/backend.ts";
import { openDevice } from "../../src/backend/webgpu/device.ts";
import type { Form } from "../../src/parallel.ts";
import { productKernel } from "../../src/plan.ts";
import { checkAccessible, checkFits, type Demo, openDemo, takePictures } from "./demo.ts";

let demo: Demo;
test.before(async () => {
  demo = await openDemo("start", "products");
});
test.after(() => demo?.close());

// Dawn crashes when its entry object is collected while a device lives.
const dawn = create(["backend=null"]);

const products: { form: Form; size: { m: number; n: number; k: number } }[] = [
  { form: "AB", size: { m: 48, n: 48, k: 64 } },
  { form: "ABT", size: { m: 70, n: 36, k: 20 } },
  { form: "ATB", size: { m: 36, n: 64, k: 20 } },
  { form: "AB", size: { m: 7, n: 5, k: 9 } },
];

for (const software of [false, true])
  test(`productKernel's text is what a ${software ? "software adapter" : "GPU"}'s device is given to compile`, async () => {
    const adapter = await dawn.requestAdapter();
    assert.ok(adapter, "Dawn's null adapter needs no hardware");
    const { device, info, sources } = await openDevice(adapter);
    const given: string[] = [];
    const compile = device.createShaderModule.bind(device);
    device.createShaderModule = (descriptor) => {
      given.push(descriptor.code);
      return compile(descriptor);
    };
    const more = await import("../../src/backend/webgpu/software-shaders.ts");
    const named = { ...info, software };
    const backend = new WebGpuBackend({ device, info: named, sources: { ...sources, ...more.softwareShaders } });
    for (const { form, size } of products) {
      const { m, n, k } = size;
      const [a, b, y] = [m * k, k * n, m * n].map((length) =>
        backend.allocate({ dtype: "f32", length, purpose: "scratch" }),
      );
      const transposes = { transposeA: form === "ATB", transposeB: form === "ABT" };
      backend.run("matmul", { a, b, y, batch: 1, ...size, ...transposes, accumulate: false });
      const { code, tile, workgroups } = await productKernel({ form, size, adapter: named });
      assert.ok(given.includes(code), `${form} of ${m} x ${n} x ${k}`);
      assert.is(workgroups, Math.ceil(m / tile.rows) * Math.ceil(n / tile.columns));
    }
    await backend.sync();
    backend.dispose();
  });

test("sizes that are none are refused by name", async () => {
  try {
    await productKernel({ form: "AB", size: { m: 3, n: 0, k: 2 } });
    assert.unreachable("0 columns were taken");
  } catch (error) {
    assert.is((error as Error).message, "got n = 0, need a whole number from 1");
  }
});

test("the page shows it, by keyboard, for the form and the blocks that were multiplied; on the processor it says so", async () => {
  const { use, close } = await demo.open("products/?layout=2d&q=2&m=192&n=96&k=128", {
    viewport: { width: 360, height: 900 },
  });
  await use(async (page) => {
    await page.getByText("multiplied A B on 2D 2×2 in this page").waitFor();
    await page.getByText("The kernel, as it is compiled").press("Enter");
    const text = page.getByRole("region", { name: "WGSL of matmulTile" });
    const shown = async () => (await text.textContent())?.replace(/^ +/gm, "");
    await text.waitFor();
    // Blocks of 192 / 2 rows and so on; no GPU is known here.
    const wanted = await productKernel({ form: "AB", size: { m: 96, n: 48, k: 64 } });
    assert.is(await shown(), wanted.code.trimEnd());
    await page.getByText("On a GPU this would run on every rank").waitFor();
    await page.getByText("64 × 64 elements: 2 for each product of 96 × 64 by 64 × 48.").waitFor();
    await page.keyboard.press("Tab");
    assert.ok(await text.evaluate((element) => element === document.activeElement));
    for (const width of [1920, 360]) {
      await page.setViewportSize({ width, height: 900 });
      await checkFits(page);
      await takePictures(page, "products-kernel");
    }
    await checkAccessible(page);
    await page.getByRole("radio", { name: "A Bᵀ", exact: true }).check();
    await page.getByText("multiplied A Bᵀ on 2D 2×2 in this page").waitFor();
    const other = await productKernel({ form: "ABT", size: { m: 96, n: 48, k: 64 } });
    await page.waitForFunction(
      (part) => document.querySelector(".wgsl")?.textContent?.includes(part),
      "const TRANSPOSE_B: bool = true;",
    );
    assert.is(await shown(), other.code.trimEnd());
  });
  await close();
});

test("on WebGPU it is one of the texts that this page's device compiled, and the page says that it ran", async () => {
  const { use, close } = await demo.open("products/?layout=2d&q=2&m=21&n=10&k=17&backend=cpu");
  await use(async (page) => {
    const multiplied = page.getByText("multiplied A B on 2D 2×2 in this page");
    await multiplied.waitFor();
    const engine = page.workers().find((worker) => worker.url().endsWith("/products/worker.js"))!;
    await engine.evaluate(() => {
      const given: string[] = [];
      Object.assign(globalThis, { given });
      const compile = GPUDevice.prototype.createShaderModule;
      GPUDevice.prototype.createShaderModule = function (descriptor) {
        given.push(descriptor.code);
        return compile.call(this, descriptor);
      };
    });
    await page.getByLabel("Computes on").selectOption("webgpu");
    await page.getByText("The kernel, as it is compiled").click();
    await page.getByText("This ran here on every rank").waitFor();
    const shown = await page.getByRole("region", { name: /^WGSL of / }).textContent();
    const given = await engine.evaluate(() => (globalThis as unknown as { given: string[] }).given);
    assert.ok(given.map((code) => code.trimEnd()).includes(shown!.replace(/^ +/gm, "")), shown!);
  });
  await close();
});

test.run();
