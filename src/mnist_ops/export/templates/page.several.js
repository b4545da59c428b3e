// A picture of several characters, such as a number -> each of them, in reading order, as pictures/several.py: what may be a
// character is cut out, and the best path through all of it chosen by the network.

const {LONGEST: LARGEST, LEFT_OUT, WEIGHTS, MOST_MARGIN} = CONSTANTS.several;

/** {lines, marks}: the rows of a grey picture, each character as `answer` gives it, with its box in the picture and what the
 *  network saw of it; and the number of marks left out. Null if there is no ink. answer(seen) -> {best, probabilities,
 *  logit, ...}. */
function readSeveral(picture, answer) {
  const small = shrink(picture, LARGEST), own = asItIs(picture);
  const found = own ? {rows: [[own]], marks: 0} : rowsOf(small);
  if (!found?.rows.length) return null;
  const scale = Math.max(picture.width, picture.height) / Math.max(small.width, small.height);
  return {marks: found.marks, lines: found.rows.map((row) => {
    const answers = row.map(({seen}) => answer(seen));
    return bestPath(row, costsOf(row, answers)).map((index) => {
      const {seen, box: {top, left, bottom, right}} = row[index];
      return {...answers[index], seen, box: {top: Math.floor(top * scale), left: Math.floor(left * scale),
        bottom: Math.ceil(bottom * scale), right: Math.ceil(right * scale)}};
    });
  })};
}

/** An image that is one character already; else null. */
function asItIs(picture) {
  const seen = ownImage(picture), {width, height} = picture;
  return seen && {first: 0, last: 1, seen, box: {top: 0, left: 0, bottom: height, right: width}, width: 1, height: 1,
    gap: -1, cut: 0, crossings: 0, joined: 0, uncut: 9};
}

/** The text of the lines, with spaces between classes of several letters. */
function textOf(lines, classes) {
  const space = classes.every((name) => [...name].length === 1) ? '' : ' ';
  return lines.map((line) => line.map(({best}) => classes[best]).join(space)).join('\n');
}

/** What each candidate of a row costs. */
function costsOf(row, answers) {
  const most = Math.max(...answers.map(({logit}) => logit));
  return row.map((one, index) => featuresOf(one, answers[index], most)
    .reduce((sum, value, place) => sum + value * WEIGHTS[place], 0));
}

/** What speaks for or against a candidate, in the order of WEIGHTS; `most` is the row's largest logit. */
function featuresOf({width, height, joined, gap, cut, crossings, uncut}, {best, probabilities, logit}, most) {
  const over = (value) => Math.max(0, value);
  const next = Math.max(...probabilities.filter((_, index) => index !== best));
  return [
    1, over(width - 0.8), over(width - 1.1), over(0.7 - height), over(0.9 - height),
    over(0.3 - width), joined, joined ? over(gap + 0.1) : 0, cut,
    over(crossings - 1), over(0.25 - uncut), 1 - logit / Math.max(most, 1e-6), logit,
    Math.min(Math.log(probabilities[best] / next), MOST_MARGIN), width, height,
    over(1 - height) ** 2, over(width - 0.9) ** 2, joined > 0 ? 1 : 0, Math.min(uncut, 1),
  ];
}

/** The candidates that read the row from end to end at the least cost in total; what none can read is left out. */
function bestPath(row, costs) {
  const end = Math.max(0, ...row.map(({last}) => last));
  const ends = [{cost: 0}]; // to each cut, the candidate that ends there and the cut before it
  for (let cut = 1; cut <= end; cut++) {
    ends[cut] = {cost: ends[cut - 1].cost + LEFT_OUT, index: -1, before: cut - 1};
    row.forEach(({first, last}, index) => {
      const cost = last === cut ? ends[first].cost + costs[index] : Infinity;
      if (cost < ends[cut].cost) ends[cut] = {cost, index, before: first};
    });
  }
  const path = [];
  for (let cut = end; cut > 0; cut = ends[cut].before) if (ends[cut].index >= 0) path.unshift(ends[cut].index);
  return path;
}
