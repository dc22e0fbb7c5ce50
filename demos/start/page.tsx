// The first page: what this is, and where to go.

import type { ComponentChildren, VNode } from "preact";
import { showPage } from "../kit/shell.tsx";
import { SupportNotice } from "../kit/support.tsx";
import { pages, pathOf } from "../pages.mjs";
import { icons } from "./icons.tsx";
import { MeshPicture } from "./mesh-picture.tsx";
import "./page.css";

const Card = ({ name, title, about }: { name: string; title: string; about: string }): VNode => (
  <li>
    <a class="card" href={pathOf(name)}>
      <svg viewBox="0 0 48 48" aria-hidden="true">
        {icons[name]}
      </svg>
      <h2>{title}</h2>
      <p>{about}</p>
    </a>
  </li>
);

function Content(): ComponentChildren {
  return (
    <>
      <section class="what" aria-label="What this is">
        <div class="words">
          <p>
            A transformer that is too large or too slow for one device can be cut into blocks, so that many devices hold
            and compute one model together.
          </p>
          <p>
            shardgrad does so on anything with a GPU, or without one: three ways to cut, the gradients of one device,
            and every byte that is sent counted and equal to a formula.
          </p>
          <p>
            Here you can watch it happen: on meshes of ranks in this page, on your friends' laptops, or on devices
            nobody has yet.
          </p>
          <p class="row">
            <a class="button primary" href={pathOf("train")}>
              Train a model
            </a>
            <a class="button" href={pathOf("products")}>
              See how a product is cut
            </a>
          </p>
        </div>
        <MeshPicture />
      </section>
      <SupportNotice />
      <ul class="cards">
        {pages.slice(1).map((page) => (
          <Card key={page.name} {...page} />
        ))}
      </ul>
    </>
  );
}

showPage("start", Content);
