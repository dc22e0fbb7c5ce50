// Every shader's WGSL by its file's name. One import and one entry a line, sorted.

import adamw from "../../../shaders/adamw.wgsl";
import adamwHalf from "../../../shaders/adamwHalf.wgsl";
import add from "../../../shaders/add.wgsl";
import attention from "../../../shaders/attention.wgsl";
import attentionDelta from "../../../shaders/attentionDelta.wgsl";
import attentionGradKV from "../../../shaders/attentionGradKV.wgsl";
import attentionGradQ from "../../../shaders/attentionGradQ.wgsl";
import axpy from "../../../shaders/axpy.wgsl";
import columnSum from "../../../shaders/columnSum.wgsl";
import copy from "../../../shaders/copy.wgsl";
import crossEntropy from "../../../shaders/crossEntropy.wgsl";
import crossEntropyGrad from "../../../shaders/crossEntropyGrad.wgsl";
import dropout from "../../../shaders/dropout.wgsl";
import embedding from "../../../shaders/embedding.wgsl";
import embeddingGrad from "../../../shaders/embeddingGrad.wgsl";
import fill from "../../../shaders/fill.wgsl";
import gelu from "../../../shaders/gelu.wgsl";
import geluGrad from "../../../shaders/geluGrad.wgsl";
import matmul from "../../../shaders/matmul.wgsl";
import matmulTile from "../../../shaders/matmulTile.wgsl";
import maximum from "../../../shaders/maximum.wgsl";
import normApply from "../../../shaders/normApply.wgsl";
import normGradGain from "../../../shaders/normGradGain.wgsl";
import normGradInput from "../../../shaders/normGradInput.wgsl";
import normGradSums from "../../../shaders/normGradSums.wgsl";
import normMerge from "../../../shaders/normMerge.wgsl";
import normStats from "../../../shaders/normStats.wgsl";
import rotary from "../../../shaders/rotary.wgsl";
import rowMax from "../../../shaders/rowMax.wgsl";
import scale from "../../../shaders/scale.wgsl";
import siluGate from "../../../shaders/siluGate.wgsl";
import siluGateGrad from "../../../shaders/siluGateGrad.wgsl";
import sum from "../../../shaders/sum.wgsl";
import sumExp from "../../../shaders/sumExp.wgsl";
import sumPartials from "../../../shaders/sumPartials.wgsl";

export const shaders: Readonly<Record<string, string>> = {
  adamw,
  adamwHalf,
  add,
  attention,
  attentionDelta,
  attentionGradKV,
  attentionGradQ,
  axpy,
  columnSum,
  copy,
  crossEntropy,
  crossEntropyGrad,
  dropout,
  embedding,
  embeddingGrad,
  fill,
  gelu,
  geluGrad,
  matmul,
  matmulTile,
  maximum,
  normApply,
  normGradGain,
  normGradInput,
  normGradSums,
  normMerge,
  normStats,
  rotary,
  rowMax,
  scale,
  siluGate,
  siluGateGrad,
  sum,
  sumExp,
  sumPartials,
};
