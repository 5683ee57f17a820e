const content = JSON.parse(document.getElementById("content").textContent);
const $ = id => document.getElementById(id);
const parts = {
  coherence: ["Part 1: dance and music", "How well does the music go with the dance?", "Music and dance go together"],
  quality: ["Part 2: sound alone", "How good is the sound?", "Quality of the sound (beeps: their number)"],
};
let listener = "", order = [], ratings = {}, current = null;

// Small seeded generator (mulberry32 on an FNV hash): the order depends on the study and the listener alone.
function shuffled(list, text) {
  let state = 2166136261;
  for (const letter of text) state = Math.imul(state ^ letter.charCodeAt(0), 16777619);
  const draw = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const copy = list.slice();
  for (let i = copy.length - 1; i > 0; i--) {
    const j = Math.floor(draw() * (i + 1));
    [copy[i], copy[j]] = [copy[j], copy[i]];
  }
  return copy;
}

const shelf = () => `cdcd-listening:${content.study}:${listener}`;
function keep() {
  try { localStorage.setItem(shelf(), JSON.stringify(ratings)); localStorage.setItem(`cdcd-listening:${content.study}`, listener); }
  catch { $("trouble").hidden = false; }
}
function recall(key) {
  try { return localStorage.getItem(key); } catch { $("trouble").hidden = false; return null; }
}
function show(section) {
  for (const id of ["welcome", "trial", "end"]) $(id).hidden = id !== section;
}

function begin() {
  listener = $("listener").value.trim();
  if (!listener) { $("listener").focus(); return; }
  ratings = JSON.parse(recall(shelf()) || "{}");
  order = Object.keys(parts).flatMap(test => shuffled(content.trials.filter(t => t.test === test), `${content.study}/${listener}/${test}`));
  keep();
  advance();
}

function advance() {
  current = order.find(trial => !(trial.code in ratings));
  if (!current) { finish(); return; }
  const done = order.filter(trial => trial.code in ratings).length, [part, question, legend] = parts[current.test];
  show("trial");
  $("part").textContent = part;
  $("position").textContent = `${done + 1} of ${order.length}`;
  $("progress").value = done / order.length;
  $("question").textContent = question;
  $("legend").textContent = legend;
  $("form").reset();
  $("scale").disabled = $("next").disabled = true;
  $("heard").hidden = false;
  $("audio").src = content.media[current.audio];
  $("video").hidden = current.video === null;
  if (current.video === null) $("video").removeAttribute("src"); else $("video").src = content.media[current.video];
  $("question").focus();
}

function play() {
  $("audio").currentTime = 0;
  $("audio").play();
  if (current.video !== null) { $("video").currentTime = 0; $("video").play().catch(() => {}); }
}

function rated(event) {
  event.preventDefault();
  const chosen = new FormData($("form")).get("rating");
  if (!chosen) return;
  ratings[current.code] = Number(chosen);
  $("audio").pause();
  $("video").pause();
  keep();
  advance();
}

const answers = () => JSON.stringify({ format: content.format, study: content.study, listener, ratings }, null, 1);
const filename = () => `listening_${content.study}_${listener.replace(/[^A-Za-z0-9_-]/g, "_")}.json`;
function finish() {
  show("end");
  $("filename").textContent = filename();
  document.querySelector("#end h1").focus();
}
function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([answers()], { type: "application/json" }));
  link.download = filename();
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

$("start").addEventListener("click", begin);
$("listener").addEventListener("keydown", event => { if (event.key === "Enter") begin(); });
$("play").addEventListener("click", play);
$("audio").addEventListener("ended", () => { $("scale").disabled = false; $("heard").hidden = true; });
$("form").addEventListener("change", () => { $("next").disabled = false; });
$("form").addEventListener("submit", rated);
$("save").addEventListener("click", save);
const before = recall(`cdcd-listening:${content.study}`);
if (before) {
  $("listener").value = before;
  $("resume").hidden = false;
  $("resume").textContent = "Welcome back: your answers so far are here. Press Start to go on.";
}
