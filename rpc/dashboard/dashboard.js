// Keeps the page true: listens to the server's events, or asks where all places are taken, and says
// when it hears nothing. Names from callers are only ever text.
"use strict";
(() => {
  const staleAfter = 2200; // an event comes each second
  const keepFor = 600000;
  const parts = ["live", "reserved", "cached", "free", "total"];
  const ageNames = ["under 10 s", "under 1 min", "under 10 min", "under 1 h", "older"];
  const find = (selector) => document.querySelector(selector);
  const number = (n) => n.toLocaleString("en-US");

  let state = null;
  let heard = 0; // by this page's clock
  let epoch = null;
  let samples = [];
  let source = null;
  let unreachable = false;
  let spoken = { text: "", at: -Infinity };

  // Writing.

  function write(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function sizeText(bytes) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (bytes >= 1024 && unit + 1 < units.length) {
      bytes /= 1024;
      unit += 1;
    }
    return parseFloat(bytes.toFixed(2)) + " " + units[unit];
  }

  function timeText(seconds) {
    if (seconds === 0) return "0 s";
    if (seconds < 0.001) return parseFloat((seconds * 1e6).toPrecision(3)) + " µs";
    if (seconds < 1) return parseFloat((seconds * 1e3).toPrecision(3)) + " ms";
    if (seconds < 120) return parseFloat(seconds.toPrecision(3)) + " s";
    if (seconds < 7200) return Math.round(seconds / 60) + " min";
    if (seconds < 172800) return Math.round(seconds / 3600) + " h";
    return Math.round(seconds / 86400) + " days";
  }

  const share = (n, all) => (all > 0 ? ((100 * n) / all).toFixed(1) + "%" : "–");

  // Rows of text; the first cell is the row's name.
  function fill(table, rows) {
    const body = table.tBodies[0];
    while (body.rows.length > rows.length) body.deleteRow(-1);
    rows.forEach((cells, at) => {
      const row = body.rows[at] || body.insertRow();
      cells.forEach((text, column) => {
        let cell = row.cells[column];
        if (!cell) {
          cell = document.createElement(column === 0 ? "th" : "td");
          if (column === 0) cell.scope = "row";
          const head = table.tHead.rows[0].cells[column];
          cell.className = head.className;
          row.append(cell);
        }
        write(cell, text);
      });
    });
  }

  function facts(list, rows) {
    const children = rows.flatMap(([name, text]) => {
      const term = document.createElement("dt");
      const value = document.createElement("dd");
      term.textContent = name;
      value.textContent = text;
      return [term, value];
    });
    list.replaceChildren(...children);
  }

  // What each event shows.

  function showSentence() {
    const sentence = state.sentence.charAt(0).toUpperCase() + state.sentence.slice(1) + ".";
    write(find("#sentence"), sentence);
    const problems = find("#problems");
    problems.hidden = state.problems.length === 0;
    write(problems, state.problems.length > 0 ? "Not ready: " + state.problems.join("; ") + "." : "");
    speak(sentence + (state.ready ? "" : " " + problems.textContent));
  }

  // A reader hears the sentence when it has changed, at most every half minute.
  function speak(text) {
    const now = performance.now();
    if (text === spoken.text || now - spoken.at < 30000) return;
    spoken = { text, at: now };
    write(find("#spoken"), text);
  }

  function showBlocks(capacity) {
    const all = capacity.total_blocks;
    const says = [];
    for (const part of parts) {
      const blocks = capacity[part + "_blocks"];
      const [, count, portion, memory] = find(`#blocks tr[data-part="${part}"]`).cells;
      count.dataset.blocks = blocks;
      write(count, number(blocks));
      write(portion, share(blocks, all));
      write(memory, capacity.block_bytes > 0 ? sizeText(blocks * capacity.block_bytes) : "–");
      if (part === "total") continue;
      find(`#bar [data-part="${part}"]`).style.flex = `0 0 ${(100 * blocks) / all}%`;
      says.push(`${share(blocks, all)} ${part}`);
    }
    find("#bar").setAttribute("aria-label", "Blocks: " + says.join(", "));
    write(find('[data-value="pool"]'), capacity.pool);
  }

  // How often since a minute ago, or since the page knows.
  function lastMinute(key, now) {
    const before = samples.find((sample) => now - sample.at <= 60000 && sample.byReason);
    return before ? state.byReason[key] - before.byReason[key] : 0;
  }

  function showDecisions(now) {
    const rows = state.decisions
      .filter((row) => row.count > 0 || row.outcome === "admitted")
      .map((row) => {
        const reason = row.reason.toLowerCase().replaceAll("_", " ");
        const name = row.outcome === "admitted" ? "admitted" : row.outcome === "never" ? `never: ${reason}` : `wait: ${reason}`;
        return [name, number(lastMinute(row.outcome + row.reason, now)), number(row.count)];
      });
    fill(find("#decisions"), rows);
  }

  function showWaits() {
    const waits = state.waits;
    write(find('[data-value="waiting"]'), number(state.capacity.waiting));
    write(find('[data-value="oldest_seconds"]'), state.capacity.waiting > 0 ? timeText(waits.oldest_seconds) : "–");
    for (const key of ["p50_seconds", "p99_seconds"]) {
      write(find(`[data-value="${key}"]`), waits.recent > 0 ? timeText(waits[key]) : "–");
    }
    const note = waits.recent > 0 ? `of ${number(waits.recent)} that ended in the last five minutes` : "nobody queued in the last five minutes";
    write(find("#waits-note"), note);
  }

  function showUsageTable(now) {
    const rows = [];
    for (let minutes = 0; minutes <= 10; ++minutes) {
      const sample = samples.findLast((s) => now - s.at >= minutes * 60000 - 500);
      if (!sample) break;
      const of = (n) => share(n, sample.total);
      rows.push([String(minutes), of(sample.live + sample.reserved), of(sample.live), of(sample.reserved), of(sample.cached)]);
    }
    fill(find("#usage-table"), rows);
  }

  function remember(now) {
    const { capacity, counts, decisions } = state;
    const sum = (outcome) => decisions.filter((d) => d.outcome === outcome).reduce((n, d) => n + d.count, 0);
    state.byReason = Object.fromEntries(decisions.map((d) => [d.outcome + d.reason, d.count]));
    const last = samples.at(-1);
    if (last && now - last.at < 950) return;
    samples.push({
      at: now, total: capacity.total_blocks, live: capacity.live_blocks, reserved: capacity.reserved_blocks, cached: capacity.cached_blocks,
      admitted: counts.admitted, wait: sum("wait"), never: sum("never"), byReason: state.byReason,
    });
    while (now - samples[0].at > keepFor) samples.shift();
    charts.show(samples, now);
    if (find("#usage-table").closest("details").open) showUsageTable(now);
  }

  function show(next) {
    const now = Date.now();
    state = next;
    heard = performance.now();
    unreachable = false;
    if (state.capacity.epoch !== epoch) {
      begin(state.capacity.epoch).catch(() => (epoch = null));
      return;
    }
    remember(now);
    showSentence();
    showBlocks(state.capacity);
    showDecisions(now);
    showWaits();
    write(find('[data-value="uptime"]') || document.createElement("i"), timeText(Math.round(state.uptime_seconds)));
    find("#sentence").dataset.revision = state.capacity.revision;
    judge();
  }

  // What is asked for now and then.

  async function ask(what) {
    const answer = await fetch("api/v1/" + what, { cache: "no-store" });
    if (!answer.ok) throw new Error(what + ": " + answer.status);
    return answer.json();
  }

  // Another life of the server: what is known of the one before does not count.
  async function begin(newEpoch) {
    epoch = newEpoch;
    const current = state;
    const [past, server] = await Promise.all([ask("history"), ask("server")]);
    const now = Date.now();
    samples = past.milliseconds_ago.map((ago, i) => ({
      at: now - ago, total: past.total[i], live: past.live[i], reserved: past.reserved[i], cached: past.cached[i],
      admitted: past.admitted[i], wait: past.wait[i], never: past.never[i],
    }));
    showServer(server);
    show(current);
    refresh();
  }

  function showServer(server) {
    const name = server.model || "pool " + server.pool;
    write(find("#identity"), `Plimsoll ${server.version}, ${server.mode}${server.device === "none" ? "" : " on " + server.device}, ${name}`);
    document.title = `Plimsoll: ${name}`;
    facts(find("#server"), [
      ["version", server.version], ["mode", server.mode], ["device", server.device], ["model", server.model || "none given"],
      ["pool", server.pool], ["epoch", server.epoch], ["up for", ""],
    ]);
    find("#server").lastElementChild.dataset.value = "uptime";
    showMemory(server);
  }

  function showMemory(server) {
    find("#memory-section").hidden = server.memory.length === 0;
    fill(find("#memory"), server.memory.map((stage) => {
      const more = stage.measured_bytes - stage.predicted_bytes;
      return [stage.stage, sizeText(stage.predicted_bytes), sizeText(stage.measured_bytes),
        more === 0 ? "none" : (more > 0 ? "+" : "−") + sizeText(Math.abs(more))];
    }));
  }

  function showNext(next, some) {
    const cached = next.cached_blocks > 0 ? `First ${number(next.cached_blocks)} cached blocks, which nobody holds, the least useful one first. ` : "";
    let who = "No request: each was promised all that it may need.";
    if (!next.promises_whole) {
      who = next.victim
        ? `Then reservation ${next.victim.reservation_id} of ${next.victim.tenant || "no tenant"}, ${next.rule === "newest" ? "which came last" : "the cheapest to compute again"}: ${number(next.victim.used_blocks)} blocks.`
        : some ? "Then one of those that run, who are too many to say which." : "Then a holder that cannot grow: it is told to yield.";
    }
    write(find("#next"), cached + who);
  }

  async function refresh() {
    const holders = await ask("holders");
    const held = (sum) => [number(sum.reservations), number(sum.blocks), share(sum.unused_blocks, sum.blocks)];
    const tenants = holders.tenants.concat(holders.others ? [holders.others] : []);
    fill(find("#tenants"), tenants.map((row) => [row.tenant || "(none)", ...held(row), timeText(Math.round(row.oldest_seconds))]));
    fill(find("#ages"), holders.ages.map((row, at) => [ageNames[at], ...held(row)]));
    fill(find("#oldest"), holders.oldest.map((row) => [row.reservation_id, row.tenant || "(none)", timeText(Math.round(row.age_seconds)),
      number(row.blocks), share(row.blocks - row.used_blocks, row.blocks)]));
    const some = holders.counted < holders.reservations ? `; the ${number(holders.counted)} oldest are counted below` : "";
    write(find("#holders-note"), `${number(holders.reservations)} held${some}. Unused is what was promised and holds no token, as far as it was reported.`);
    showNext(holders.next, some);
  }

  // Listening.

  function judge() {
    const silent = performance.now() - heard;
    const isStale = heard > 0 && (unreachable || silent > staleAfter);
    document.body.classList.toggle("stale", isStale);
    const freshness = find("#freshness");
    const what = heard === 0 ? "connecting" : isStale ? "stale" : "live";
    if (freshness.dataset.state !== what && what === "stale") speakNow("The server does not answer. The numbers are old.");
    freshness.dataset.state = what;
    write(freshness, isStale ? `no answer for ${timeText(Math.round(silent / 1000))}; numbers are old` : what);
  }

  function speakNow(text) {
    spoken = { text, at: performance.now() };
    write(find("#spoken"), text);
  }

  function listen() {
    source = new EventSource("api/v1/watch");
    source.addEventListener("state", (event) => show(JSON.parse(event.data)));
    source.onerror = () => {
      source.close();
      source = null;
    };
  }

  // Once a second: who is not listening asks, and every few seconds tries to listen again.
  let turns = 0;
  async function turn() {
    turns += 1;
    try {
      if (source === null) show(await ask("state"));
      if (source === null && turns % 5 === 0) listen();
      if (turns % 2 === 0 && document.visibilityState === "visible") await refresh();
      if (turns % 10 === 0 && document.visibilityState === "visible") showMemory(await ask("server"));
    } catch (_) {
      unreachable = source === null;
    }
  }

  document.querySelectorAll("details").forEach((details) => details.addEventListener("toggle", () => showUsageTable(Date.now())));
  listen();
  setInterval(turn, 1000);
  setInterval(judge, 400);
})();
