// The two charts. What they show stands in tables as well.
"use strict";
const charts = (() => {
  const root = document.documentElement;
  const limits = [0.8, 0.9, 0.98];
  const drawn = [];

  const colour = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const percent = (share) => Math.round(share * 100) + "%";

  function ago(seconds) {
    if (seconds > -1) return "now";
    return Math.round(-seconds / 60) + " min ago";
  }

  // Lines across the chart that people act on: endpoint pickers call a server full at 0.8, vLLM's
  // dashboards turn orange at 0.9 and red at 0.98.
  const limitLines = {
    id: "limitLines",
    afterDatasetsDraw(chart) {
      const context = chart.ctx;
      const { left, right } = chart.chartArea;
      context.textBaseline = "middle";
      context.save();
      context.font = "12px system-ui, sans-serif";
      for (const limit of limits) {
        const y = chart.scales.y.getPixelForValue(limit);
        context.strokeStyle = colour(limit > 0.95 ? "bad" : limit > 0.85 ? "warn" : "quiet");
        context.fillStyle = context.strokeStyle;
        context.setLineDash([4, 4]);
        context.beginPath();
        context.moveTo(left, y);
        context.lineTo(right, y);
        context.stroke();
        context.fillText(String(limit), right + 6, y);
      }
      context.restore();
    },
  };

  function line(label, key, part, fill) {
    return { label, key, part, fill, data: [], pointRadius: 0, borderWidth: 2, parsing: false, stepped: false };
  }

  function paint(chart) {
    for (const set of chart.data.datasets) {
      set.borderColor = colour(set.part);
      set.backgroundColor = colour(set.part) + (set.fill ? "33" : "");
    }
    for (const axis of Object.values(chart.options.scales)) {
      axis.ticks.color = colour("quiet");
      axis.grid.color = colour("rule");
    }
    chart.options.plugins.legend.labels.color = colour("quiet");
  }

  function make(id, datasets, y, plugins) {
    const options = {
      animation: false,
      maintainAspectRatio: false,
      normalized: true,
      layout: { padding: { right: 32 } },
      interaction: { mode: "nearest", axis: "x", intersect: false },
      scales: {
        x: {
          type: "linear", min: -600, max: 0,
          ticks: { stepSize: 120, maxRotation: 0, callback: ago },
          grid: { display: false },
        },
        y: { min: 0, ticks: { maxTicksLimit: 5 }, grid: { drawTicks: false }, ...y },
      },
      plugins: {
        legend: { position: "top", align: "start", labels: { boxWidth: 18, boxHeight: 2 } },
        tooltip: { callbacks: { title: (items) => ago(items[0].parsed.x) } },
      },
    };
    options.scales.y.ticks = { maxTicksLimit: 5, ...(y.ticks || {}) };
    const chart = new Chart(document.getElementById(id), { type: "line", data: { datasets }, options, plugins });
    paint(chart);
    drawn.push(chart);
    return chart;
  }

  const usage = make(
    "usage",
    [line("in use: live and reserved", "used", "reserved", true), line("live", "live", "live", true)],
    { max: 1, ticks: { callback: percent, stepSize: 0.2, maxTicksLimit: 6 } },
    [limitLines],
  );
  const rates = make(
    "rates",
    [line("admitted / s", "admitted", "live"), line("told to wait / s", "wait", "reserved"), line("never / s", "never", "never")],
    { suggestedMax: 1 },
    [],
  );

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const chart of drawn) {
      paint(chart);
      chart.update();
    }
  });

  // `samples` are of the server's last ten minutes, oldest first, a second or more apart.
  function show(samples, now) {
    for (const set of usage.data.datasets) {
      set.data = samples.map((s) => ({ x: (s.at - now) / 1000, y: (set.key === "used" ? s.live + s.reserved : s.live) / s.total }));
    }
    const span = Math.ceil((now - samples[0].at) / 120000) * 120;
    for (const chart of drawn) chart.options.scales.x.min = -Math.min(Math.max(span, 120), 600);
    for (const set of rates.data.datasets) set.data = perSecond(samples, set.key, now);
    usage.update("none");
    rates.update("none");
  }

  // Five seconds together, so that single requests do not make a comb of it.
  function perSecond(samples, key, now) {
    const points = [];
    let first = samples[0];
    for (const sample of samples) {
      const seconds = (sample.at - first.at) / 1000;
      if (seconds < 5) continue;
      points.push({ x: (sample.at - now) / 1000, y: (sample[key] - first[key]) / seconds });
      first = sample;
    }
    return points;
  }

  return { show, limits };
})();
