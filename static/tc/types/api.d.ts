/** Payloads of the HTTP API and of /ws/market, as the server writes them. */

export interface Candle {
  candle_time: number;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
}

export interface CandlesAnswer {
  series_id: string;
  server_head_time: number | null;
  candles: Candle[];
}

export interface Point {
  time: number;
  value: number;
}

export interface MarkerDefinition {
  type: "marker";
  feature: string;
  time: number;
  position: "aboveBar" | "belowBar";
  color: string;
  shape: "circle" | "arrowUp" | "arrowDown";
  text: string;
  size: number;
}

export interface PolylineDefinition {
  type: "polyline";
  feature: string;
  points: Point[];
  color: string;
  lineWidth: number;
  lineStyle?: "dashed";
  entryDirection?: 1 | -1;
}

export interface Instruction {
  version_id: number;
  instruction_id: string;
  kind: "marker" | "polyline";
  visible_time: number;
  definition: MarkerDefinition | PolylineDefinition;
}

export interface DrawDelta {
  schema_version: number;
  series_id: string;
  to_candle_id: string | null;
  to_candle_time: number | null;
  active_ids: string[];
  instruction_catalog_patch: Instruction[];
  series_points: Record<string, Point[]>;
  next_cursor: { version_id: number; point_time: number | null };
}

export interface FactorSlice {
  schema_version: number;
  history: Record<string, Record<string, unknown>[]>;
  head: Record<string, unknown>;
  meta: Record<string, unknown>;
}

export interface FactorSlices {
  schema_version: number;
  series_id: string;
  at_time: number;
  candle_id: string | null;
  factors: string[];
  snapshots: Record<string, FactorSlice>;
}

export interface Frame {
  schema_version: number;
  series_id: string;
  time: { at_time: number; aligned_time: number; candle_id: string };
  factor_slices: FactorSlices;
  draw_state: DrawDelta;
}

export interface FeatureEntry {
  key: string;
  label: string;
  default_visible: boolean;
}

export interface FactorEntry extends FeatureEntry {
  sub_features: FeatureEntry[];
}

export interface FactorCatalog {
  schema_version: number;
  factors: FactorEntry[];
}

export type MarketMessage =
  | { type: "candle_closed"; series_id: string; candle: Candle }
  | { type: "candles_batch"; series_id: string; candles: Candle[] }
  | { type: "candle_forming"; series_id: string; candle: Candle }
  | { type: "gap"; series_id: string; expected_next_time: number; actual_time: number }
  | { type: "system"; series_id: string; event: string; message: string; data: object }
  | { type: "error"; code: string; message: string; series_id?: string };

/** One row of `/api/market/top_markets`. */
export interface TopMarket {
  symbol: string;
  last_price: number | null;
  quote_volume: number;
  price_change_percent: number | null;
}

export interface TopMarkets {
  market: string;
  generated_at_ms: number;
  items: TopMarket[];
}

/** One event of `/ws/debug`, or of the page itself. */
export interface LogEvent {
  ts_ms: number;
  source: "backend" | "frontend";
  pipe: "read" | "write";
  event: string;
  series_id: string | null;
  level: "info" | "warn" | "error";
  message: string;
  data?: object;
}

/** What `/api/market/debug/series_health` says, as far as it is shown. */
export interface SeriesHealth {
  head_time: number | null;
  lag_seconds: number | null;
  gap_count: number;
  max_gap_seconds: number | null;
  base_bucket_completeness: { missing_minutes: number }[];
}
