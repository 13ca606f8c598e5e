// A call's worth of work with the generated TypeScript types: what does not fit them does not compile.

import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Schemas = components["schemas"];

const url = need("VCA_URL");
const called = need("VCA_TENANT");

function need(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

function client(key: string) {
  return createClient<paths>({ baseUrl: url, headers: { authorization: `Bearer ${key}` } });
}

function read<T>(answer: { data?: T; error?: unknown }): T {
  if (answer.data === undefined) throw new Error(`refused: ${JSON.stringify(answer.error)}`);
  return answer.data;
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`wrong: ${what}`);
}

const operator = client(need("VCA_KEY"));
const plan: Schemas["Plan"] = "growth";
const create = { params: { header: { "Idempotency-Key": "typescript-1" } }, body: { name: "TypeScript", plan } };
const tenant = read(await operator.POST("/api/tenants", create));
check(read(await operator.POST("/api/tenants", create)).id === tenant.id, "a repeated request");
check(tenant.status === "active", "the tenant's status");
const path = { tenant_id: tenant.id };

const key = read(
  await operator.POST("/api/tenants/{tenant_id}/keys", {
    params: { path },
    body: { name: "front office", role: "tenant_admin" },
  }),
);
const admin = client(key.secret);
check(read(await admin.GET("/api/whoami")).key.id === key.id, "the key");

const number = { params: { path }, body: { did_number: "+493055500778" } };
check(read(await operator.POST("/api/tenants/{tenant_id}/phone-numbers", number)).is_active, "the number");
const taken = await operator.POST("/api/tenants/{tenant_id}/phone-numbers", number);
check(taken.error?.code === "number_in_use", "a number that is taken");

const profiles = "/api/tenants/{tenant_id}/ai-profiles";
const profile = read(
  await admin.POST(profiles, {
    params: { path },
    body: { name: "Desk", system_prompt: "Be brief.", is_default: true, settings: { greeting: "Hello!", language: "en" } },
  }),
);
const changed: Schemas["AiProfile"] = read(
  await admin.PATCH(`${profiles}/{ai_profile_id}`, {
    params: { path: { ...path, ai_profile_id: profile.id } },
    body: { name: "Front desk" },
  }),
);
check(changed.name === "Front desk" && changed.version === profile.version + 1, "the change of the profile");

const calls = read(await operator.GET("/api/tenants/{tenant_id}/calls", { params: { path: { tenant_id: called } } }));
const call = calls.items[0];
check(call !== undefined && call.status === "completed", "the call");
const transcript = read(
  await operator.GET("/api/tenants/{tenant_id}/calls/{call_id}/transcript", {
    params: { path: { tenant_id: called, call_id: call?.id ?? "" } },
  }),
);
if (typeof transcript === "string") throw new Error("the transcript is a text");
check(transcript.turns[0]?.caller_text === "Do you have rolls?", "the transcript");

console.log("done");
