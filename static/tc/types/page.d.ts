/** What the modules of the chart hand to each other. */

import type { ApiError } from "../app/api.js";
import type { Palette } from "../chart/palette.js";
import type { LiveFeed } from "../app/feed.js";
import type { Instruction, MarketMessage, Point } from "./api";

declare global {
  /** What the page asked for before its modules came, by address: see `getJson`. */
  var firstReads: Record<string, Promise<unknown>> | undefined;
}

export type Texts = Record<string, string | { one: string; other: string }>;

export interface Series {
  exchange: string;
  market: string;
  symbol: string;
  timeframe: string;
}

/** What a change means for the chart: nothing, the bars from an index on, or everything. */
export type Change = { kind: "none" } | { kind: "tail"; from: number } | { kind: "all" };

export type LoadStatus = "idle" | "loading" | "backfilling" | "ready" | "empty" | "error";
export type Part = "candles" | "structures";

/** Something worth saying; the page chooses the words. */
export type Notice =
  | { kind: "gap"; missing: number; time: number }
  | { kind: "rebuild"; reason: string }
  | { kind: "resumed"; count: number }
  | { kind: "failed"; part: Part; error: ApiError }
  | { kind: "behind"; time: number | null }
  | { kind: "drawn" };

export interface FeedListener {
  status: (status: LoadStatus, count: number) => void;
  candles: (change: Change) => void;
  structures: () => void;
  notice: (notice: Notice) => void;
}

export type SocketState = "connecting" | "open" | "stale" | "reconnecting" | "closed";

/** What the connection tells its owner. */
export interface SocketListener {
  state: (state: SocketState, about: { waitMs: number; attempt: number; reason: string }) => void;
  /** A message of the followed series. */
  message: (message: MarketMessage) => void;
  /** The transport is up, before any subscription. */
  connected: () => void;
  /** The catch-up after a reconnection has been received. */
  resumed: () => void;
}

/** One thing on the chart. */
export interface Shape {
  /** What the pointer reports. */
  id: string;
  feature: string;
  kind: "box" | "line" | "mark";
  /** Corners of a box (start and top, end and bottom), ends of a line, or the one place of a mark. */
  points: Point[];
  /** When it became visible; null for what may still change. */
  visibleTime: number | null;
  dashed: boolean;
  /** Direction of entry, of a line, or of an arrow. */
  up: boolean;
  /** The server's colour, for features that we do not know. */
  color: string;
  width: number;
  glyph: "circle" | "arrow" | null;
  items: Instruction[];
}

/** The pens that made a zhongshu: the one that entered, those it is the overlap of, the one that left. */
export interface Story {
  entry: Shape;
  /** Two or three; the third may still grow where a price made the zhongshu. */
  inner: Shape[];
  /** Whether a price that crossed the end of the first inner pen made it, before the third was a pen. */
  crossed: boolean;
  ending: Shape | null;
}

/** Numbers of what is drawn, as the page's attributes state them. */
export interface Counts {
  pivots: number;
  penPoints: number;
  zhongshu: number;
  anchors: number;
  switches: number;
  sr: number;
}

/** What the attributes of the chart view are made from. */
export interface Facts {
  feed: LiveFeed;
  counts: Counts;
  highlight: Shape | null;
  chart: { epoch: number; barSpacing: number };
  message: string;
  wsState: string;
  hovered: string;
  hidden: string[];
  ready: boolean;
  paintMs: number | null;
  drawings: number;
  tool: string;
}

export interface Pointer {
  index: number | null;
  hovered: string;
}

/** A bar, held or not, and a price. */
export interface Place {
  bar: number;
  price: number;
}

/** Something that the user has drawn: a measure or a line between two points, or a price. */
export interface Drawing {
  id: string;
  kind: "measure" | "line" | "level";
  points: Point[];
}

export interface Spot {
  x: number;
  y: number;
}

export interface Target {
  id: string;
  kind: Shape["kind"];
  /** Opposite corners of a box, ends of a line, centre of a mark. */
  spots: Spot[];
}

export interface Placed {
  shape: Shape;
  bars: number[];
  seen: number | null;
  from: number;
  to: number;
}

/** After which bar candles are missing, and how many. */
export interface Gap {
  bar: number;
  missing: number;
}

/** How a shape is stroked. */
export interface Stroke {
  color: string;
  width: number;
  dash: number[];
  alpha: number;
}

/** The time scale and the price scale of one frame. */
export interface Scales {
  x: (bar: number) => number;
  y: (price: number) => number;
  spacing: number;
  from: number;
  to: number;
}

export interface Paint {
  context: CanvasRenderingContext2D;
  scales: Scales;
  height: number;
}

/** Something that happened on the page, for the log of events. */
export interface PageEvent {
  ts_ms: number;
  series_id: string | null;
  event: string;
  level: "info" | "error";
  data: object;
}

/** What the side bar shows, one at a time. */
export interface SidePanel {
  open: () => void;
  close: () => void;
}

/** What the layer of structures gets after its first painting. */
export interface Later {
  /** The id under a spot, if any. */
  find: (spot: Spot, targets: Target[]) => string | null;
  paintGaps: (paint: Paint, gaps: Gap[], palette: Palette) => void;
  /** Write the prices of a box at its right end: right, top and bottom. */
  paintEdges: (
    context: CanvasRenderingContext2D,
    prices: string[],
    place: [number, number, number],
    palette: Palette,
  ) => void;
}
