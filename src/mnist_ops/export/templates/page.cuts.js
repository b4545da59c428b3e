// Where strokes may be cut into characters that touch, as pictures/cuts.py: ways from top to bottom that cross little ink.

const {INK, SIDEWAYS, SLANTS, APART} = CONSTANTS.cuts;

/** Ways through a mask, each unlike the others, from the left; none if it is narrow. `height`: of its row. A cut is
 *  {columns, ink, crossings}: of each row the first column to its right, the ink on it in heights of its row, and the
 *  strokes that it crosses. */
function cutsOf(mask, height) {
  if (2 * mask.width < height) return [];
  const found = SLANTS.flatMap((slant) => waysThrough(mask, slant, height));
  found.sort((one, other) => one.cost - other.cost || one.place - other.place);
  const kept = [], parts = [0, mask.width].map((place) => inkLeftOf(mask, new Array(mask.height).fill(place)));
  for (const {cut} of found) {
    const left = inkLeftOf(mask, cut.columns);
    const apart = (other) => left.reduce((sum, count, row) => sum + Math.abs(count - other[row]), 0);
    if (parts.every((other) => APART * apart(other) > height * height)) {
      kept.push(cut);
      parts.push(left);
    }
  }
  return kept.sort((one, other) => total(one.columns) - total(other.columns));
}

/** Of each row, the ink to the left of that column. */
function inkLeftOf({values, width}, columns) {
  return columns.map((column, row) => total(values.subarray(row * width, row * width + column)));
}

/** Of the cheapest way through each place of the middle row those that cost no more than their neighbours', as
 *  {cost, place, cut}; `slant` is that of ways without steps to the side. */
function waysThrough(mask, slant, height) {
  const {values, width, height: tall} = mask, middle = tall >> 1;
  const shift = Array.from({length: tall}, (_, row) => Math.floor(slant * (middle - row) / 4));
  const edge = Math.max(...shift.map(Math.abs)), wide = width + 2 * edge, cost = new Int32Array(tall * wide);
  values.forEach((value, place) => {
    const row = Math.floor(place / width);
    cost[row * wide + edge - shift[row] + place % width] = INK * value;
  });
  const down = cheapest(cost, wide, 0, middle), up = cheapest(cost, wide, tall - 1, middle);
  const along = Int32Array.from({length: width}, (_, place) =>
    down.total[edge + place] + up.total[edge + place] - cost[middle * wide + edge + place]);
  const least = runningMinimum({values: along, width, height: 1}, Math.max(1, height >> 4)).values;
  const good = (place) => place < width && along[place] === least[place] && 3 * along[place] <= INK * height;
  const ways = [];
  for (let start = 0, end = 0; start < width; start = end + 1) {
    for (end = start; good(end); end++);
    if (start === end) continue;
    const place = (start + end) >> 1;
    const way = [...follow(down.steps, place + edge).reverse(), ...follow(up.steps, place + edge).slice(1)];
    const columns = way.map((column, row) => Math.min(Math.max(column - edge + shift[row], 0), width));
    ways.push({cost: along[place], place, cut: {columns, ...crossed(mask, columns, height)}});
  }
  return ways;
}

/** The ink on a cut, and its crossings. */
function crossed({values, width}, columns, height) {
  const on = columns.map((column, row) => column < width ? values[row * width + column] : 0);
  return {ink: total(on) / height, crossings: on.filter((value, row) => value && !on[row - 1]).length};
}

/** {total, steps}: the least cost of a way from row `first` to each place of row `last`, and for each row, counted from
 *  there, the step to the side by which it came from the row before. */
function cheapest(cost, wide, first, last) {
  const turn = Math.sign(last - first), steps = [null];
  let before = cost.subarray(first * wide, (first + 1) * wide);
  for (let row = first; row !== last;) {
    row += turn;
    const side = new Int8Array(wide), now = new Int32Array(wide);
    for (let place = 0; place < wide; place++) {
      const left = place ? before[place - 1] + SIDEWAYS : Infinity, straight = before[place];
      const right = place < wide - 1 ? before[place + 1] + SIDEWAYS : Infinity, best = Math.min(left, right);
      side[place] = straight <= best ? 0 : left <= right ? -1 : 1;
      now[place] = cost[row * wide + place] + Math.min(straight, best);
    }
    steps.push(side);
    before = now;
  }
  return {total: before, steps};
}

/** The columns of the cheapest way to that place of the last row, from there to the first. */
function follow(steps, place) {
  const columns = [place];
  for (let row = steps.length - 1; row > 0; row--) columns.push(place += steps[row][place]);
  return columns;
}
