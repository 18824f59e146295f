// A booking from registration to review, with openapi-typescript and openapi-fetch: node walk.js BASE
// `schema.ts` in this directory is generated. The program `time-passes BOOKING` returns once the visit can start.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

type Result<Data> = { data?: Data; error?: unknown; response: Response };

const [baseUrl = ""] = process.argv.slice(2);
const password = "correct horse battery";
const guest = createClient<paths>({ baseUrl });

/** Returns the response's body; throws unless the request succeeded. */
function ok<Data>({ data, error, response }: Result<Data>): Data {
  if (data === undefined) throw new Error(`${response.status} ${response.url} ${JSON.stringify(error)}`);
  return data;
}

async function signIn(email: string) {
  const tokens = ok(await guest.POST("/api/v1/auth/login", { body: { email, password } }));
  return createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${tokens.access_token}` } });
}

const email = `typescript-${randomUUID()}@example.com`;
ok(await guest.POST("/api/v1/auth/register", { body: { email, password, full_name: "Tess Script", language: "en" } }));
const client = await signIn(email);

const service = ok(await guest.GET("/api/v1/services")).items[0];
assert(service, "no service is on offer");
const order = { service_id: service.id, square_metres: 60, rooms: 3, hours: 2, extras: [] };
const quote = ok(await guest.POST("/api/v1/quotes", { body: order }));

const date = new Date(Date.now() + 2 * 86_400_000).toISOString().slice(0, 10);
const query = { date, days: 7, duration_minutes: quote.duration_minutes };
const { days } = ok(await guest.GET("/api/v1/availability", { params: { query } }));
const starts = days.flatMap((day) => day.slots.map((slot) => slot.starts_at));
const first = starts.at(0);
const last = starts.at(-1);
assert(first && last && first < last, "there are not two free times");

const booked = ok(
  await client.POST("/api/v1/bookings", {
    params: { header: { "Idempotency-Key": randomUUID() } },
    body: { ...order, starts_at: first, address: "Main Street 2", notes: "Booked with openapi-fetch" },
  }),
);
assert.equal(booked.price, quote.total);

const path = { booking_id: booked.id };
const seen = await client.GET("/api/v1/bookings/{booking_id}", { params: { path } });
assert.equal(ok(seen).starts_at, first);
assert(seen.response.headers.get("content-encoding"), "the answer was not compressed");
const etag = seen.response.headers.get("etag");
assert(etag, "the answer has no ETag");
console.log(`ETag: ${etag}`);

const move = { params: { path, header: { "if-match": etag } }, body: { starts_at: last } };
const moved = ok(await client.POST("/api/v1/bookings/{booking_id}/reschedule", move));
assert.equal(moved.starts_at, last);
const late = await client.POST("/api/v1/bookings/{booking_id}/reschedule", move);
assert.equal(late.response.status, 412, "the ETag from before the move must not match");

const office = await signIn("office@example.com");
const found = ok(await office.GET("/api/v1/office/bookings", { params: { query: { q: booked.reference } } }));
assert.deepEqual(found.items.map((booking) => [booking.id, booking.client.full_name]), [[booked.id, "Tess Script"]]);
const assigned = found.items[0]?.cleaner?.id;
assert(assigned, "nobody is assigned");
const person = ok(await office.GET("/api/v1/users/{user_id}", { params: { path: { user_id: assigned } } }));

execFileSync("time-passes", [booked.id], { stdio: "inherit" });
const cleaner = await signIn(person.email);
assert.equal(ok(await cleaner.POST("/api/v1/bookings/{booking_id}/start", { params: { path } })).state, "in_progress");
assert.equal(ok(await cleaner.POST("/api/v1/bookings/{booking_id}/complete", { params: { path } })).state, "completed");

const review = ok(
  await client.POST("/api/v1/bookings/{booking_id}/review", { params: { path }, body: { stars: 5, comment: "Typed" } }),
);
assert.deepEqual([review.booking_id, review.stars], [booked.id, 5]);
console.log(`walked: ${booked.reference}`);
