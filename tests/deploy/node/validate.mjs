// Validates custom resources of Kubernetes: reads a JSON array of them and prints an array of what is wrong.

import { readdirSync, readFileSync } from "node:fs";

import * as keda from "@kubernetes-models/keda/keda.sh/v1alpha1";
import * as prometheus from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

const MODELS = { "keda.sh/v1alpha1": keda, "monitoring.coreos.com/v1": prometheus };
const DECLARATIONS = [
  "@kubernetes-models/keda/keda.sh/v1alpha1",
  "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
  "kubernetes-models/autoscaling/v2",
];
// Maps with names of our own, or of the scaler.
const MAPS = new Set(["metadata", "matchLabels", "labels", "annotations"]);

// The validators pass over fields that they do not know, so the names come from the declarations.
const known = new Set(["apiVersion", "kind", "matchLabels", "labels", "annotations"]);
for (const folder of DECLARATIONS.map((name) => new URL(`node_modules/${name}/`, import.meta.url))) {
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".d.ts"))) {
    for (const [, name] of readFileSync(new URL(file, folder), "utf8").matchAll(/^ +"(\w+)"\??:/gm)) known.add(name);
  }
}
const unknown = (value) =>
  Array.isArray(value) ? value.flatMap(unknown)
  : value === null || typeof value !== "object" ? []
  : Object.entries(value).flatMap(([name, inner]) => [
      ...(known.has(name) ? [] : [name]),
      ...(MAPS.has(name) ? [] : unknown(inner)),
    ]);

const problems = JSON.parse(readFileSync(0, "utf8")).flatMap((resource) => {
  const name = `${resource.kind} ${resource.metadata.name}`;
  const Model = MODELS[resource.apiVersion]?.[resource.kind];
  if (Model === undefined) return [`${name}: no schema for ${resource.apiVersion}`];
  try {
    new Model(resource).validate();
  } catch (error) {
    return [`${name}: ${error.message}`];
  }
  return unknown(resource).map((field) => `${name}: unknown field ${field}`);
});
console.log(JSON.stringify(problems));
