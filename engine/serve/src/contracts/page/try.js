// The page on which one tries a model. The key stays in this variable, and what a model is called is only ever text.
"use strict";

const $ = (id) => document.getElementById(id);
let key = "";
let models = [];
let language = "curl";

const EXAMPLES = { float: "0.5", int: "1", bool: "true", text: "text", date: "2024-01-31", datetime: "2024-01-31T12:30:00Z" };
const WORDS = { float: "number", int: "whole number", bool: "true or false", text: "text", date: "date", datetime: "date and time" };

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function note(text, hint, isBad) {
  const box = $("note");
  box.replaceChildren();
  box.hidden = !text;
  if (!text) return;
  box.className = isBad ? "note bad" : "note";
  box.append(make("span", isBad ? "error-title" : "", text));
  if (hint) box.append(make("p", "hint", hint));
}

async function ask(path, body) {
  const headers = {};
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers,
    body,
    credentials: "omit",
    cache: "no-store",
    referrerPolicy: "no-referrer",
  });
  const text = await response.text();
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    json = { error: "the answer is no JSON" };
  }
  return { status: response.status, ok: response.ok, json };
}

async function connect(isFirst) {
  let answer;
  try {
    answer = await ask("/v1/models");
  } catch {
    note("The endpoint can't be reached.", "Is it still running?", true);
    return;
  }
  if (!answer.ok) {
    $("main").hidden = true;
    $("start").hidden = false;
    if (!isFirst) note(sentence(answer.json.error), answer.json.hint, true);
    return;
  }
  if (isFirst) $("key-form").hidden = true;
  models = answer.json.models;
  const select = $("model");
  select.replaceChildren();
  models.forEach((model, at) => {
    const option = make("option", "", `${model.name} · version ${model.version}`);
    option.value = String(at);
    select.append(option);
  });
  $("start").hidden = true;
  $("main").hidden = models.length === 0;
  $("fact").textContent = models.length === 1 ? "1 version is served" : `${models.length} versions are served`;
  if (models.length === 0) {
    note("No model is served yet.", "Give a model the alias that this endpoint serves, then connect again.");
    return;
  }
  note("");
  show();
}

function sentence(text) {
  const words = String(text || "The request failed");
  return words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");
}

function current() {
  return models[Number($("model").value)];
}

function show() {
  const model = current();
  if (!model) return;
  const fields = $("fields");
  fields.replaceChildren();
  model.signature.inputs.forEach((input, at) => {
    const field = make("div", "field");
    const label = make("label", "name");
    const name = make("span", "", input.name);
    name.title = input.name;
    label.append(name, make("span", "type", WORDS[input.dtype] + (input.nullable ? ", may be empty" : "")));
    label.htmlFor = `field-${at}`;
    let control;
    if (input.dtype === "bool") {
      control = make("select");
      const choices = input.nullable ? ["", "true", "false"] : ["true", "false"];
      for (const choice of choices) {
        const option = make("option", "", choice === "" ? "missing" : choice);
        option.value = choice;
        control.append(option);
      }
    } else {
      control = make("input");
      control.type = "text";
      control.spellcheck = false;
      control.inputMode = input.dtype === "float" || input.dtype === "int" ? "decimal" : "text";
      control.placeholder = input.nullable ? "missing" : EXAMPLES[input.dtype] || "";
    }
    control.id = `field-${at}`;
    field.append(label, control);
    fields.append(field);
  });
  $("answer").replaceChildren(make("p", "empty", "Fill in the columns and press Predict."));
  $("took").textContent = "";
  snippet();
}

// A number is written into the JSON as it was typed, so that no digit of it is lost on the way.
function literal(input, text) {
  if (text === "" && input.dtype !== "text") return { json: "null" };
  if (text === "" && input.nullable) return { json: "null" };
  switch (input.dtype) {
    case "float":
    case "int": {
      const number = text.trim();
      const shape = input.dtype === "int" ? /^-?(0|[1-9]\d*)$/ : /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
      return shape.test(number) ? { json: number } : { error: `must be a ${WORDS[input.dtype]} such as ${EXAMPLES[input.dtype]}` };
    }
    case "bool":
      return { json: text };
    default:
      return { json: JSON.stringify(text) };
  }
}

function body(isStrict) {
  const model = current();
  const parts = [];
  let isGood = true;
  model.signature.inputs.forEach((input, at) => {
    const control = $(`field-${at}`);
    const field = control.parentElement;
    const { json, error } = literal(input, control.value);
    if (isStrict) {
      const message = error || (json === "null" && !input.nullable ? "must not be empty" : "");
      field.classList.toggle("bad", message !== "");
      field.querySelector(".error")?.remove();
      control.removeAttribute("aria-invalid");
      if (message) {
        field.append(make("span", "error", message));
        control.setAttribute("aria-invalid", "true");
        if (isGood) control.focus();
        isGood = false;
      }
    }
    parts.push(`${JSON.stringify(input.name)}: ${json ?? "null"}`);
  });
  return isGood ? `{"row": {${parts.join(", ")}}${$("explain").checked ? ', "explain": true' : ""}}` : null;
}

function path() {
  const model = current();
  return `/v1/models/${encodeURIComponent(model.name)}/versions/${model.version}/predict`;
}

function snippet() {
  if (!current()) return;
  const json = body(false);
  const printed = $("explain").checked ? "explanations" : "predictions";
  const url = location.origin + path();
  // In single quotes a shell takes everything as it is but the quote itself.
  const shell = json.replaceAll("'", "'\\''");
  const texts = {
    curl: `curl ${url} \\\n  -H "Authorization: Bearer $ATHANOR_KEY" \\\n  -H 'Content-Type: application/json' \\\n  -d '${shell}'`,
    python:
      "import json, os, urllib.request\n\n" +
      `body = json.loads(${JSON.stringify(json)})\n` +
      "request = urllib.request.Request(\n" +
      `    ${JSON.stringify(url)},\n` +
      "    data=json.dumps(body).encode(),\n" +
      "    headers={\n" +
      '        "Authorization": "Bearer " + os.environ["ATHANOR_KEY"],\n' +
      '        "Content-Type": "application/json",\n' +
      "    },\n" +
      ")\n" +
      "with urllib.request.urlopen(request) as answer:\n" +
      `    print(json.load(answer)["${printed}"][0])`,
    json,
  };
  $("code").textContent = texts[language];
  $("copied").textContent = "";
}

function number(value) {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(8)));
}

function showAnswer(prediction) {
  const box = $("answer");
  box.replaceChildren();
  if (prediction.label === undefined) {
    box.append(make("p", "fact", current().signature.target), make("p", "key-figure", number(prediction.value)));
    return;
  }
  box.append(make("p", "fact", current().signature.target), make("p", "key-figure", prediction.label));
  const bars = make("div", "bars");
  const sorted = Object.entries(prediction.probabilities).sort((a, b) => b[1] - a[1]);
  sorted.slice(0, 12).forEach(([name, value]) => {
    const bar = make("div", name === prediction.label ? "bar first" : "bar");
    const label = make("span", "label", name);
    label.title = name;
    const progress = make("progress");
    progress.max = 1;
    progress.value = value;
    progress.setAttribute("aria-label", name);
    bar.append(label, progress, make("span", "value mono", `${(value * 100).toFixed(1)} %`));
    bars.append(bar);
  });
  box.append(bars);
  if (sorted.length > 12) box.append(make("p", "hint", `and ${sorted.length - 12} less likely classes`));
}

// A difference with its sign; of a class in hundredths, as the bars of the classes are.
function signed(value, isClass) {
  const size = isClass ? `${(Math.abs(value) * 100).toFixed(1)} %` : number(Math.abs(value));
  const isNothing = value === 0 || size === "0.0 %";
  return isNothing ? size : `${value < 0 ? "\u2212" : "+"}${size}`;
}

function plain(value, isClass) {
  return isClass ? `${(value * 100).toFixed(1)} %` : number(value);
}

function amount(name, value, isSum) {
  const line = make("div", isSum ? "amount sum" : "amount");
  line.append(make("span", "", name), make("span", "mono", value));
  return line;
}

const SVG = "http://www.w3.org/2000/svg";

// A bar from the common zero. As a drawing: the page's policy lets no style stand in its elements.
function signedBar(value, least, most) {
  const at = (amount) => (most > least ? ((amount - least) / (most - least)) * 100 : 0);
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 100 10");
  drawing.setAttribute("preserveAspectRatio", "none");
  drawing.setAttribute("aria-hidden", "true");
  const zero = at(0);
  const part = (x, width, y, height, name) => {
    const rect = document.createElementNS(SVG, "rect");
    for (const [key, text] of Object.entries({ x, width, y, height, class: name })) rect.setAttribute(key, String(text));
    drawing.append(rect);
  };
  part(Math.min(Math.max(zero - 0.2, 0), 99.6), 0.4, 0, 10, "zero");
  if (value !== 0) part(Math.min(zero, at(value)), Math.max(Math.abs(at(value) - zero), 0.8), 3, 4, value > 0 ? "more" : "less");
  return drawing;
}

function showExplanation(explanation) {
  const box = make("div", "why");
  const isClass = explanation.class !== undefined;
  box.append(make("h3", "", isClass ? `Why ${explanation.class}` : `Why this ${current().signature.target}`));
  box.append(make("p", "hint", "What each column adds, compared with a typical row of training."));
  box.append(amount("Typical row", plain(explanation.base, isClass), false));
  const sorted = [...explanation.contributions].sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution));
  const most = sorted.length > 12 ? 11 : sorted.length;
  const rows = sorted.slice(0, most).map((one) => ({
    name: one.column,
    detail: one.value === null ? "missing" : String(one.value),
    about: `${one.column}: ${one.value ?? "missing"} instead of ${one.baseline ?? "missing"}`,
    value: one.contribution,
  }));
  if (sorted.length > most) {
    const value = sorted.slice(most).reduce((sum, one) => sum + one.contribution, 0);
    rows.push({ name: `${sorted.length - most} more columns`, detail: "", about: "", value });
  }
  const values = rows.map((row) => row.value);
  const [least, greatest] = [Math.min(0, ...values), Math.max(0, ...values)];
  for (const row of rows) {
    const line = make("div", "adds");
    const label = make("span", "label", row.name);
    label.append(make("span", "mono detail", row.detail));
    label.title = row.about;
    line.append(label, signedBar(row.value, least, greatest), make("span", "mono value", signed(row.value, isClass)));
    box.append(line);
  }
  box.append(amount("This row", plain(explanation.value, isClass), true));
  if (explanation.method === "sampled") {
    let error = Math.max(...explanation.contributions.map((one) => one.standard_error ?? 0));
    if (isClass) error = Math.ceil(error * 1000) / 1000;
    box.append(make("p", "hint", `Estimated by sampling; the standard errors are at most ${plain(error, isClass)}.`));
  }
  $("answer").append(box);
}

async function predict(event) {
  event.preventDefault();
  const json = body(true);
  if (json === null) return;
  snippet();
  const button = $("predict");
  button.disabled = true;
  const started = performance.now();
  try {
    const answer = await ask(path(), json);
    $("took").textContent = `${(performance.now() - started).toFixed(1)} ms`;
    if (answer.ok) {
      showAnswer(answer.json.predictions[0]);
      if (answer.json.explanations) showExplanation(answer.json.explanations[0]);
    } else {
      const box = $("answer");
      box.replaceChildren(make("p", "error-title", sentence(answer.json.error)));
      if (answer.json.hint) box.append(make("p", "hint", sentence(answer.json.hint)));
      if (answer.json.request_id) box.append(make("p", "hint mono", `request ${answer.json.request_id}`));
    }
  } catch {
    $("answer").replaceChildren(make("p", "error-title", "The endpoint can't be reached."));
  } finally {
    button.disabled = false;
  }
}

function fill(isExample) {
  current().signature.inputs.forEach((input, at) => {
    const control = $(`field-${at}`);
    if (input.dtype === "bool") control.value = isExample || !input.nullable ? "true" : "";
    else control.value = isExample ? EXAMPLES[input.dtype] || "" : "";
  });
  snippet();
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("key").value.trim();
  connect(false);
});
$("model").addEventListener("change", show);
$("row").addEventListener("submit", predict);
$("row").addEventListener("input", snippet);
$("fill").addEventListener("click", () => fill(true));
$("clear").addEventListener("click", () => fill(false));
for (const name of ["curl", "python", "json"]) {
  $(`tab-${name}`).addEventListener("click", () => {
    language = name;
    for (const other of ["curl", "python", "json"]) {
      $(`tab-${other}`).setAttribute("aria-selected", String(other === name));
    }
    snippet();
  });
}
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("code").textContent);
    $("copied").textContent = "Copied";
  } catch {
    $("copied").textContent = "Select the text and copy it";
  }
});
// Where a platform in front asks for the key, the page needs none.
connect(true);
