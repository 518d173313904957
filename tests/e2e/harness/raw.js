/**
 * The least that a page can do: one read of candles, the library's own series, and a socket. What
 * the machine makes of it is the measure of what /live does beside it.
 */
import { CandlestickSeries, createChart } from "lightweight-charts";

const view = document.querySelector("[data-testid=chart-view]");
const series_id = view.dataset.seriesId;
const bar = ({ candle_time: time, open, high, low, close }) => ({ time, open, high, low, close });

const answer = await fetch(`/api/market/candles?${new URLSearchParams({ series_id, limit: 2000 })}`);
const { candles } = await answer.json();
const series = createChart(view, { autoSize: true }).addSeries(CandlestickSeries);
series.setData(candles.map(bar));
requestAnimationFrame(() =>
  requestAnimationFrame(() => {
    performance.mark("chart-painted");
    view.dataset.ready = "1";
  }),
);

const socket = new WebSocket("/ws/market");
socket.onopen = () => {
  socket.send(JSON.stringify({ type: "subscribe", series_id, since: candles.at(-1).candle_time }));
  view.dataset.wsState = "open";
};
socket.onmessage = ({ data }) => {
  const { candle } = JSON.parse(data);
  if (candle) series.update(bar(candle));
};
