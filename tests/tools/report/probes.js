// What the tests ask of an open page.

// Every row of terms: what its data says, and what a reader sees.
function terms() {
  return [...document.querySelectorAll("table.terms tr[data-term]")].map((row) => ({
    term: row.dataset.term,
    bytes: Number(row.dataset.bytes),
    seen: Number(row.cells[1].querySelector("small").textContent.replace(/[^0-9]/g, "")),
  }));
}

// The table of sequences: each context and how many of it the plan as given holds.
function sequences() {
  return [...document.querySelectorAll("#sequences tbody tr")].map((row) => ({
    context: Number(row.dataset.context),
    sequences: Number(row.cells[1].textContent.replaceAll(",", "")),
  }));
}

// A chart's pixels, read from a copy: reading from the page's own canvas would make the browser
// remark on it.
function pixelsOf(canvas) {
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height).data;
}

// The share of a chart's pixels that have any colour, for each chart.
function ink() {
  return [...document.querySelectorAll("canvas")].map((canvas) => {
    const data = pixelsOf(canvas);
    let drawn = 0;
    for (let i = 3; i < data.length; i += 4) drawn += data[i] > 0 ? 1 : 0;
    return drawn / (data.length / 4);
  });
}

// The bytes that the weights take in the memory bar, by the pixels of their colour.
function weightsDrawn() {
  const canvas = document.getElementById("memory");
  const style = getComputedStyle(document.documentElement);
  const wanted = style.getPropertyValue("--part-weights").trim();
  const chart = Chart.getChart(canvas);
  const middle = chart.getDatasetMeta(0).data[0].y + 12;
  const row = Math.round((middle * canvas.height) / canvas.clientHeight);
  const data = pixelsOf(canvas).subarray(row * canvas.width * 4, (row + 1) * canvas.width * 4);
  const hex = (i) => "#" + [...data.slice(i, i + 3)].map((v) => v.toString(16).padStart(2, "0")).join("");
  let pixels = 0;
  for (let i = 0; i < data.length; i += 4) pixels += hex(i) === wanted ? 1 : 0;
  const scale = chart.scales.x;
  const width = (pixels * canvas.clientWidth) / canvas.width;
  return (width / (scale.right - scale.left)) * scale.max;
}
