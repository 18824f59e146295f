// A booking from registration to review, with fetch in a page in Chromium: node walk_in_chromium.mjs CHROMIUM BASE [ORIGIN]
// The page is the service's /docs; with ORIGIN (http, port 80), an empty page of that origin, which CORS_ORIGINS must include.
// The program `time-passes BOOKING` returns once the visit can start.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import { chromium } from "playwright-core";

const [executablePath, base, origin] = process.argv.slice(2);

/** Runs in the page. */
async function walk(base) {
  const password = "correct horse battery";
  const unique = () => [...crypto.getRandomValues(new Uint32Array(4))].join("-");
  const check = (condition, sentence) => {
    if (!condition) throw new Error(sentence);
  };

  const ask = (path, { token, body, method = body ? "POST" : "GET", ...headers } = {}) => {
    if (body) headers["Content-Type"] = "application/json";
    if (token) headers.Authorization = `Bearer ${token}`;
    return fetch(`${base}/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
  };
  const read = async (response) => {
    const text = await response.text();
    check(response.ok, `${response.status} ${response.url} ${text}`);
    return JSON.parse(text);
  };
  const ok = async (path, options) => read(await ask(path, options));
  const signIn = async (email) => (await ok("/auth/login", { body: { email, password } })).access_token;

  const email = `browser-${unique()}@example.com`;
  await ok("/auth/register", { body: { email, password, full_name: "Bo Rowser" } });
  const client = await signIn(email);

  const [service] = (await ok("/services")).items;
  check(service, "no service is on offer");
  const order = { service_id: service.id, square_metres: 60, rooms: 3, hours: 2 };
  const { duration_minutes, total } = await ok("/quotes", { body: order });
  const date = new Date(Date.now() + 2 * 86_400_000).toISOString().slice(0, 10);
  const query = new URLSearchParams({ date, days: 7, duration_minutes });
  const free = (await ok(`/availability?${query}`)).days.flatMap((day) => day.slots.map((slot) => slot.starts_at));

  const body = { ...order, starts_at: free.at(0), address: "Main Street 4", notes: "Booked in a browser" };
  const booked = await ok("/bookings", { token: client, body, "Idempotency-Key": unique() });
  check(booked.price === total, "the price is not that of the quote");
  const visit = `/bookings/${booked.id}`;

  const seen = await ask(visit, { token: client });
  check((await read(seen)).starts_at === free.at(0), "the visit is at another time");
  const etag = seen.headers.get("ETag");
  say(`ETag: ${etag}`);
  const move = { token: client, body: { starts_at: free.at(-1) }, "If-Match": etag };
  check((await ok(`${visit}/reschedule`, move)).starts_at === free.at(-1), "the visit has not moved");
  check((await ask(`${visit}/reschedule`, move)).status === 412, "the ETag from before the move must not match");

  const office = await signIn("office@example.com");
  const found = (await ok(`/office/bookings?q=${booked.reference}`, { token: office })).items;
  check(found.length === 1 && found[0].id === booked.id, "the office does not find the booking");
  const cleaner = await signIn((await ok(`/users/${found[0].cleaner.id}`, { token: office })).email);

  await timePasses(booked.id);
  const started = await ok(`${visit}/start`, { token: cleaner, method: "POST" });
  check(started.state === "in_progress", "the visit has not begun");
  const completed = await ok(`${visit}/complete`, { token: cleaner, method: "POST" });
  check(completed.state === "completed", "the visit is not over");
  const review = await ok(`${visit}/review`, { token: client, body: { stars: 5, comment: "Clicked" } });
  check(review.booking_id === booked.id && review.stars === 5, "the review is another one");
  say(`walked: ${booked.reference}`);
}

const site = createServer((_, answer) => answer.setHeader("Content-Type", "text/html").end("<!doctype html>"));
await once(site.listen(0, "127.0.0.1"), "listening");
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"];
if (origin) args.push(`--host-resolver-rules=MAP ${new URL(origin).host}:80 127.0.0.1:${site.address().port}`);
const browser = await chromium.launch({ executablePath, args });
try {
  const page = await browser.newPage();
  const compressed = [];
  page.on("response", (response) => {
    if (response.headers()["content-encoding"]) compressed.push(new URL(response.url()).pathname);
  });
  page.on("console", (message) => console.log(`${message.type()}: ${message.text()}`));
  await page.exposeFunction("say", (text) => console.log(text));
  await page.exposeFunction("timePasses", (booking) => execFileSync("time-passes", [booking], { stdio: "inherit" }));
  await page.goto(origin ?? `${base}/docs`);
  await page.evaluate(walk, base);
  if (!compressed.some((path) => path.startsWith("/api/v1/bookings/"))) throw new Error("no booking was compressed");
} finally {
  await browser.close();
  site.close();
}
