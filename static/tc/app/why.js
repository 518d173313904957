// @ts-check
/**
 * Why a zhongshu formed, read off the pens on the chart: the pen that entered it, the three whose
 * overlap it is, and the one that ended it. The rule is in `factors/engine/plugins/zhongshu.py`.
 */

import { formatOf, recordIn } from "./records.js";
/** @import StructureCard from "./card.js" */
/** @import {Words} from "./i18n.js" */
/** @import {LivePage} from "./live.js" */
/** @import {Point} from "../types/api" */
/** @import {Shape, Story} from "../types/page" */

const PENS = new Set(["pen.confirmed", "pen.extending"]);

/**
 * Say on its card why the selected zhongshu formed, and mark the pens that made it.
 * @param {LivePage} page
 * @param {StructureCard} card
 * @param {Shape} zone
 */
export function explain(page, card, zone) {
  const { chart, shapes, store, words } = page;
  if (store.get("selected") !== zone.id) return;
  const record = recordIn(page, zone);
  const story = storyOf(zone, record, shapes);
  const told = story ? sentences(zone, record, story, formatOf(page)) : [words.say("why.unknown")];
  const steps = told.map((text) => Object.assign(document.createElement("li"), { textContent: text }));
  card.part("steps").replaceChildren(...steps);
  card.part("why").hidden = false;
  chart.layer.setCauses(story ? [story.entry, ...story.inner].map(({ id }) => id) : []);
}

/**
 * The pens of a zhongshu, as far as they are among the shapes; null if its entry is not.
 * @param {Shape} zone a zhongshu
 * @param {Record<string, unknown> | null} record what the ledger says of it
 * @param {Shape[]} shapes
 * @returns {Story | null}
 */
export function storyOf(zone, record, shapes) {
  const pens = shapes.filter(({ feature }) => PENS.has(feature)).sort((a, b) => start(a) - start(b));
  const first = pens.findIndex((pen) => start(pen) === zone.points[0]?.time);
  const [entry, ...inner] = first < 0 ? [] : pens.slice(first, first + 4);
  if (!entry || inner.length < 2) return null;
  const crossed = record?.["formed_reason"] === "price_cross";
  const [zg, zd] = zone.points.map((point) => point.value);
  const isOutside = (/** @type {Shape} */ pen) => low(pen) > (zg ?? 0) || high(pen) < (zd ?? 0);
  const isDead = zone.feature === "zhongshu.dead";
  return { entry, inner, crossed, ending: (isDead && pens.slice(first + 4).find(isOutside)) || null };
}

/**
 * The story in sentences.
 * @param {Shape} zone
 * @param {Record<string, unknown> | null} record
 * @param {Story} story
 * @param {{price: (value: number) => string, time: (seconds: number) => string, say: Words["say"]}} format
 * @returns {string[]}
 */
export function sentences(zone, record, { entry, inner, crossed, ending }, { price, time, say }) {
  const [zg, zd] = zone.points.map((point) => price(point.value));
  const prices = (/** @type {Shape} */ pen) => `${price(from(pen).value)} → ${price(to(pen).value)}`;
  const formed = record?.["formed_time"];
  const when = typeof formed === "number" ? time(formed) : say("unknown");
  const trigger = inner[0] && price(to(inner[0]).value);
  const told = [say("why.entry", { prices: prices(entry), time: time(from(entry).time) })];
  told.push(...inner.map((pen, i) => say("why.pen", { n: i + 1, prices: prices(pen) })));
  told.push(crossed ? say("why.crossed", { price: trigger ?? "", time: when }) : say("why.confirmed", { time: when }));
  told.push(say("why.edges", { zg: zg ?? "", zd: zd ?? "" }));
  if (ending) told.push(say("why.ended", { prices: prices(ending) }));
  return told;
}

/** @param {Shape} pen */
const from = (pen) => /** @type {Point} */ (pen.points[0]);
/** @param {Shape} pen */
const to = (pen) => /** @type {Point} */ (pen.points.at(-1));
/** @param {Shape} pen */
const start = (pen) => from(pen).time;
/** @param {Shape} pen */
const low = (pen) => Math.min(from(pen).value, to(pen).value);
/** @param {Shape} pen */
const high = (pen) => Math.max(from(pen).value, to(pen).value);
