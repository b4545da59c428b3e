// A picture of several characters, such as a number -> each of them, in reading order, as pictures/several.py: what may be a
// character is cut out, and the best path through all of it chosen by the network.

const {LONGEST: LARGEST, LEFT_OUT} = CONSTANTS.several;

/** {lines, marks}: the rows of a grey picture, each character as `answer` gives it, with its box in the picture and what the
 *  network saw of it; and the number of marks left out. Null if there is no ink. answer(seen) -> {best, probabilities,
 *  logits, ...}. */
function readSeveral(picture, answer) {
  const small = shrink(picture, LARGEST), own = asItIs(picture);
  const found = own ? {rows: [[own]], marks: 0} : rowsOf(small);
  if (!found?.rows.length) return null;
  const scale = Math.max(picture.width, picture.height) / Math.max(small.width, small.height);
  return {marks: found.marks, lines: found.rows.map((row) => {
    const answers = row.map(({seen}) => answer(seen)), costs = costsOf(row, answers);
    return bestPath(row, costs.map((own) => Math.min(...own))).map((index) => {
      const {seen, box: {top, left, bottom, right}} = row[index];
      const probabilities = softmax(costs[index].map((cost) => -cost));
      return {...answers[index], best: largest(probabilities), probabilities, seen, box: {
        top: Math.floor(top * scale), left: Math.floor(left * scale),
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
