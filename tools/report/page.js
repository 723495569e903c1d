// Draws the charts that the page's data describes. Everything they show stands in a table as well.
"use strict";
(() => {
  const root = document.documentElement;
  const kibi = 1024;
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

  const colour = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const isNarrow = (chart) => chart.width < 480;
  const grouped = (n) => n.toLocaleString("en-US");

  function sizeText(bytes) {
    let unit = 0;
    while (bytes >= kibi && unit + 1 < units.length) {
      bytes /= kibi;
      unit += 1;
    }
    return parseFloat(bytes.toFixed(2)) + " " + units[unit];
  }

  // 131072 as "128K": contexts are powers of two, and are called so.
  function tokenText(n) {
    if (n >= kibi * kibi && n % (kibi * kibi) === 0) return n / (kibi * kibi) + "M";
    return n >= kibi && n % kibi === 0 ? n / kibi + "K" : grouped(n);
  }

  // About five ticks from zero, at a power of two of bytes.
  function byteTicks(axis) {
    let step = 1;
    while (axis.max / step > 5) step *= 2;
    axis.ticks = [];
    for (let value = 0; value <= axis.max; value += step) axis.ticks.push({ value });
  }

  function powerTicks(base) {
    return (axis) => {
      axis.ticks = [];
      let value = Math.pow(base, Math.ceil(Math.log(axis.min) / Math.log(base) - 1e-9));
      for (; value <= axis.max * 1.0001; value *= base) axis.ticks.push({ value });
    };
  }

  // The smallest power of two that gives few enough ticks between the ends.
  function baseFor(low, high, most) {
    let base = 2;
    while (Math.log(high / low) / Math.log(base) > most) base *= 2;
    return base;
  }

  function axisStyle(title) {
    return {
      title: { display: title !== "", text: title, color: colour("quiet") },
      ticks: { color: colour("quiet"), maxRotation: 0 },
      grid: { color: colour("rule"), drawTicks: false },
      border: { display: false },
    };
  }

  // Black or white, whichever stands out more on `hex` (the relative luminance of WCAG).
  function inkOn(hex) {
    const channel = (at) => {
      const value = parseInt(hex.slice(at, at + 2), 16) / 255;
      return value <= 0.04045 ? value / 12.92 : Math.pow((value + 0.055) / 1.055, 2.4);
    };
    const luminance = 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
    return luminance > 0.179 ? "#000000" : "#ffffff";
  }

  // Writes the name of a part into it where there is room.
  const partNames = {
    id: "partNames",
    afterDatasetsDraw(chart) {
      const context = chart.ctx;
      context.save();
      context.font = "600 13px system-ui, sans-serif";
      context.textBaseline = "middle";
      context.textAlign = "center";
      chart.data.datasets.forEach((part, index) => {
        chart.getDatasetMeta(index).data.forEach((bar) => {
          const { x, base, y } = bar.getProps(["x", "base", "y"]);
          if (!part.quiet && context.measureText(part.label).width + 16 < x - base) {
            context.fillStyle = inkOn(part.backgroundColor);
            context.fillText(part.label, (x + base) / 2, y);
          }
        });
      });
      context.restore();
    },
  };

  // A line across the bars with its name above: the budget, or a card's memory. What is beyond it
  // is underlined.
  const limitLine = {
    id: "limitLine",
    afterDatasetsDraw(chart, _, options) {
      if (!options.name) return;
      const context = chart.ctx;
      const { top, bottom, left, right } = chart.chartArea;
      const x = chart.scales.x.getPixelForValue(options.bytes);
      context.save();
      context.strokeStyle = colour(options.exceeded ? "bad" : "ink");
      context.fillStyle = context.strokeStyle;
      context.lineWidth = 2;
      context.beginPath();
      context.moveTo(x, top - 4);
      context.lineTo(x, bottom);
      context.stroke();
      if (options.exceeded) context.fillRect(x, bottom - 6, chart.scales.x.getPixelForValue(options.most) - x, 6);
      context.font = "600 13px system-ui, sans-serif";
      const half = context.measureText(options.name).width / 2;
      context.textAlign = "center";
      context.fillText(options.name, Math.max(left + half, Math.min(x, right - half)), top - 9);
      context.restore();
    },
  };

  // Writes the name of each line at its end, moved apart where ends are close.
  const lineNames = {
    id: "lineNames",
    afterDatasetsDraw(chart) {
      if (isNarrow(chart)) return;
      const context = chart.ctx;
      const ends = chart.data.datasets
        .map((line, index) => ({ line, end: chart.getDatasetMeta(index).data.at(-1) }))
        .filter((item) => item.end)
        .map((item) => ({ line: item.line, x: item.end.x, y: item.end.y }))
        .sort((a, b) => a.y - b.y);
      context.save();
      context.font = "13px system-ui, sans-serif";
      context.textBaseline = "middle";
      let lowest = -Infinity;
      for (const end of ends) {
        lowest = Math.max(end.y, lowest + 16);
        context.fillStyle = end.line.borderColor;
        context.fillText(end.line.label, end.x + 9, lowest);
      }
      context.restore();
    },
  };

  function barData(chart) {
    return {
      labels: chart.bars,
      datasets: chart.parts.map((part) => ({
        label: part.name,
        data: part.values,
        quiet: part.colour === "unused",
        backgroundColor: colour("part-" + part.colour),
        borderColor: colour("paper"),
        borderWidth: { left: 0, right: 1, top: 0, bottom: 0 },
        barThickness: 34,
      })),
    };
  }

  function bars(chart, canvas) {
    const totals = chart.bars.map((_, i) => chart.parts.reduce((sum, p) => sum + p.values[i], 0));
    const most = Math.max(...totals);
    const limit = chart.limit || { name: "", bytes: 0 };
    const named = chart.bars.some((name) => name !== "");
    canvas.parentElement.style.height = 54 + 50 * chart.bars.length + "px";
    return {
      type: "bar",
      data: barData(chart),
      plugins: [partNames, limitLine],
      options: {
        indexAxis: "y",
        animation: false,
        maintainAspectRatio: false,
        layout: { padding: { top: limit.name ? 22 : 4, right: 2 } },
        scales: {
          x: {
            ...axisStyle(""),
            stacked: true,
            max: Math.max(most, limit.bytes) * 1.01,
            afterBuildTicks: byteTicks,
            ticks: { color: colour("quiet"), maxRotation: 0, callback: sizeText },
          },
          y: {
            stacked: true,
            display: named,
            grid: { display: false },
            ticks: { color: colour("ink") },
          },
        },
        plugins: {
          legend: { display: false },
          limitLine: { ...limit, most, exceeded: most > limit.bytes },
          tooltip: {
            callbacks: { label: (item) => item.dataset.label + ": " + sizeText(item.raw) },
          },
        },
      },
    };
  }

  function lineData(chart) {
    const dashes = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5], [1, 4], [12, 4]];
    const shapes = ["circle", "rect", "triangle", "rectRot", "star", "crossRot", "cross"];
    return {
      datasets: chart.lines.map((line, index) => ({
        label: line.name,
        data: line.points,
        showLine: true,
        borderColor: colour("line-" + (index % 7)),
        backgroundColor: colour("line-" + (index % 7)),
        borderDash: dashes[index % 7],
        borderWidth: index === 0 ? 3 : 2,
        pointStyle: shapes[index % 7],
        pointRadius: 3,
      })),
    };
  }

  function ends(chart, key) {
    const values = chart.lines.flatMap((line) => line.points.map((point) => point[key]));
    return { min: Math.min(...values), max: Math.max(...values) };
  }

  // Room at the right for the names at the ends of the lines.
  function roomForNames(chart, canvas) {
    if (canvas.parentElement.clientWidth < 480) return 8;
    const context = canvas.getContext("2d");
    context.font = "13px system-ui, sans-serif";
    return 18 + Math.max(...chart.lines.map((line) => context.measureText(line.name).width));
  }

  function lines(chart, canvas) {
    const x = ends(chart, "x");
    const y = ends(chart, "y");
    const valueText = chart.y_is_bytes ? sizeText : grouped;
    const tickCount = canvas.parentElement.clientWidth < 480 ? 4 : 8;
    const base = chart.y_is_bytes ? baseFor(y.min, y.max, 6) : 10;
    const low = chart.y_is_bytes ? Math.pow(2, Math.floor(Math.log2(y.min))) : 1;
    return {
      type: "scatter",
      data: lineData(chart),
      plugins: [lineNames],
      options: {
        animation: false,
        maintainAspectRatio: false,
        layout: { padding: { top: 8, right: roomForNames(chart, canvas) } },
        scales: {
          x: {
            ...axisStyle(chart.x_title),
            type: "logarithmic",
            ...x,
            afterBuildTicks: powerTicks(baseFor(x.min, x.max, tickCount)),
            ticks: { color: colour("quiet"), maxRotation: 0, callback: tokenText },
          },
          y: {
            ...axisStyle(chart.y_title),
            type: "logarithmic",
            min: low,
            max: y.max * 1.3,
            afterBuildTicks: powerTicks(base),
            ticks: { color: colour("quiet"), callback: valueText },
          },
        },
        plugins: {
          legend: { display: false },
          tooltip: {
            callbacks: {
              label: (item) =>
                item.dataset.label + ": " + valueText(item.raw.y) + " at " + grouped(item.raw.x),
            },
          },
        },
      },
    };
  }

  function frontier(chart, canvas) {
    const y = ends(chart, "y");
    const low = Math.max(y.min, y.max * 0.85);
    const room = Math.max((y.max - low) * 0.05, y.max * 0.005);
    return {
      type: "scatter",
      data: lineData(chart),
      options: {
        animation: false,
        maintainAspectRatio: false,
        layout: { padding: { top: 8, right: 8 } },
        scales: {
          x: {
            ...axisStyle(chart.x_title),
            min: 0,
            ticks: { color: colour("quiet"), maxRotation: 0 },
          },
          y: {
            ...axisStyle(chart.y_title),
            min: low - room,
            max: y.max + room,
            ticks: { color: colour("quiet"), includeBounds: false },
          },
        },
        plugins: {
          legend: { display: false },
          tooltip: {
            callbacks: {
              label: (item) =>
                item.dataset.label + " " + item.raw.setting + ": " + item.raw.y.toFixed(2) +
                " running, " + item.raw.x.toFixed(2) + " preempted per 100",
            },
          },
        },
      },
    };
  }

  const data = JSON.parse(document.getElementById("charts").textContent);
  let drawn = [];

  function draw() {
    drawn.forEach((chart) => chart.destroy());
    drawn = [];
    for (const chart of data) {
      const canvas = document.getElementById(chart.id);
      const kinds = { bars, lines, frontier };
      drawn.push(new Chart(canvas, kinds[chart.kind](chart, canvas)));
    }
  }

  function drawForPaper(printing) {
    root.classList.toggle("printing", printing);
    draw();
  }

  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  Chart.defaults.font.size = 13;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("beforeprint", () => drawForPaper(true));
  addEventListener("afterprint", () => drawForPaper(false));
  draw();
})();
