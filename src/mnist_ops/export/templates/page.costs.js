// What reading each candidate of a row as each class costs, as pictures/costs.py.

const {WEIGHTS, MOST_MARGIN, LAYER, UNITS} = CONSTANTS.costs;
const layer = unpacked(LAYER);

/** The numbers of a base64 text: the upper halves of float32, lowest byte first. */
function unpacked(text) {
  const bytes = atob(text), view = new DataView(new ArrayBuffer(4));
  return Array.from({length: bytes.length / 2}, (_, index) => {
    view.setUint16(0, bytes.charCodeAt(2 * index) + 256 * bytes.charCodeAt(2 * index + 1));
    return view.getFloat32(0);
  });
}

/** For each candidate of a row, what each class costs. */
function costsOf(row, answers) {
  const most = Math.max(...answers.flatMap(({logits}) => logits));
  return row.map((one, index) => {
    const {logits, probabilities, best} = answers[index], values = featuresOf(one, answers[index], most);
    const chances = probabilities.map(Math.log);
    if (DATA.classes.join() !== '0,1,2,3,4,5,6,7,8,9') {
      return chances.map((chance) => dot(values, WEIGHTS, 0) + chances[best] - chance);
    }
    return layered([...values, ...logits.map((logit) => logit / Math.max(most, 1e-6))], chances);
  });
}

/** The sum of the products of values and the numbers from `start`. */
function dot(values, numbers, start) {
  return values.reduce((sum, value, place) => sum + value * numbers[start + place], 0);
}

/** The costs of the classes; `layer` is laid out as in pictures/costs.py. */
function layered(inputs, chances) {
  const one = [...inputs, 1], units = [];
  for (let unit = 0; unit < UNITS; unit++) units.push(Math.max(0, dot(one, layer, unit * one.length)));
  units.push(1);
  const after = UNITS * one.length, direct = after + chances.length * units.length;
  return chances.map((chance, name) => -dot(units, layer, after + name * units.length)
    - dot(inputs, layer, direct) - layer[layer.length - 1] * chance);
}

/** What speaks for or against a candidate, in the order of WEIGHTS; `most` is the row's largest logit. */
function featuresOf({width, height, joined, gap, cut, crossings, uncut}, {best, probabilities, logits}, most) {
  const over = (value) => Math.max(0, value);
  const logit = logits[best], next = Math.max(...probabilities.filter((_, index) => index !== best));
  return [
    1, over(width - 0.8), over(width - 1.1), over(0.7 - height), over(0.9 - height),
    over(0.3 - width), joined, joined ? over(gap + 0.1) : 0, cut,
    over(crossings - 1), over(0.25 - uncut), 1 - logit / Math.max(most, 1e-6), logit,
    Math.min(Math.log(probabilities[best] / next), MOST_MARGIN), width, height,
    over(1 - height) ** 2, over(width - 0.9) ** 2, joined > 0 ? 1 : 0, Math.min(uncut, 1),
  ];
}
