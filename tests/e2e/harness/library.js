/** The chart library, and beside it: which charts were made, and what was asked of their series. */
import { createChart as real } from "REAL";
export * from "REAL";

window.charts = [];
window.asked = { update: 0, setData: 0 };

export function createChart(...options) {
  const chart = real(...options);
  window.charts.push(chart);
  const add = chart.addSeries.bind(chart);
  chart.addSeries = (definition, ...rest) => {
    const series = add(definition, ...rest);
    if (definition.type !== "Candlestick") return series;
    for (const name of Object.keys(window.asked)) {
      const ask = series[name].bind(series);
      series[name] = (...values) => {
        window.asked[name] += 1;
        return ask(...values);
      };
    }
    return series;
  };
  return chart;
}
