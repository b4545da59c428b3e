// All that may be a character in a picture of several, as pictures/candidates.py: the strokes in rows, and what lies between
// two cuts of a row. A box is {top, left, bottom, right}, the last two exclusive.

const {WIDEST, LOWEST, NARROWEST, FARTHEST} = CONSTANTS.candidates;

/** {rows, marks}: for each row of characters, from the top, all that may be one, as `candidatesOf` gives it; and the number
 *  of further marks. Null if there is no ink. */
function rowsOf(picture) {
  const rows = [];
  let marks = 0;
  for (const panel of panelsOf(picture)) {
    const strokes = withoutFrame(panel.image, isUneven(panel.image) ? DIM : PALE);
    const found = strokes && bodiesOf(strokes.found, panel.image);
    if (!found) return null;
    marks += found.marks;
    for (const line of inRows(found.groups.map((group) => ({box: boxAround(group), group})))) {
      rows.push(candidatesOf(strokes, line).map((one) => ({...one, box: moved(one.box, panel)})));
    }
  }
  return {rows: acrossPanels(rows), marks};
}

function moved(box, {top, left}) {
  return {top: top + box.top, left: left + box.left, bottom: top + box.bottom, right: left + box.right};
}

/** Rows of several panels, such as a number's cells, continued from one panel into the next to its right. */
function acrossPanels(rows) {
  const filled = rows.filter((row) => row.length).map((row) => ({box: boxAround(row.map(({box}) => box)), row}));
  return inRows(filled).map((line) => line.reduce((joined, {row}) => {
    const before = Math.max(0, ...joined.map(({last}) => last));
    return [...joined, ...row.map((one) => ({...one, first: one.first + before, last: one.last + before}))];
  }, []));
}

/** {groups, marks}: the strokes of each character, or of several that touch, with what joins them; and the number of marks
 *  that belong to none, such as dashes. Null if there are only specks. */
function bodiesOf(found, picture) {
  const photo = Math.max(picture.width, picture.height) >= PHOTO;
  const pool = poolOf(found, picture).filter((part) => !isBar(part) && !(photo && liesAlongBorder(part)));
  if (!pool.length) return null;
  const main = mainOf(pool), height = main.bottom - main.top;
  const groups = pool.filter((part) => 5 * (part.bottom - part.top) >= 2 * height).map((part) => [part]);
  const joined = new Set(groups.flat());
  for (const part of found) {
    if (joined.has(part) || photo && isFrame(part, picture)) continue;
    const near = groups.filter(([first]) => joins(part, first, first));
    if (!near.length) continue;
    near.reduce((least, group) => distance(part, group[0]) < distance(part, least[0]) ? group : least).push(part);
    joined.add(part);
  }
  return {groups, marks: pool.filter((part) => 3 * longerSide(part) >= height && !joined.has(part)).length};
}

/** Between the centres of two boxes, doubled and squared. */
function distance(one, other) {
  return (one.left + one.right - other.left - other.right) ** 2 + (one.top + one.bottom - other.top - other.bottom) ** 2;
}

/** The things, each with its box, in rows from the top, each from the left: what overlaps its left neighbour by half of the
 *  lower one's height. */
function inRows(things) {
  const lines = [];
  for (const thing of [...things].sort((one, other) => one.box.left + one.box.right - other.box.left - other.box.right)) {
    const {top, bottom} = thing.box;
    const line = lines.find((line) => {
      const before = line[line.length - 1].box;
      return 2 * (Math.min(bottom, before.bottom) - Math.max(top, before.top))
        >= Math.min(bottom - top, before.bottom - before.top);
    });
    if (line) line.push(thing);
    else lines.push([thing]);
  }
  const middle = (line) => total(line.map(({box}) => box.top + box.bottom)) / line.length;
  return lines.sort((one, other) => middle(one) - middle(other));
}

/** The height of strokes or, where they are wide as in a row that slopes, the middle one of their parts. */
function heightOf({values, width, height}) {
  if (width <= height) return height;
  const tops = new Int32Array(width).fill(height), bottoms = new Int32Array(width).fill(-1);
  values.forEach((value, place) => {
    if (!value) return;
    const row = Math.floor(place / width), column = place % width;
    tops[column] = Math.min(tops[column], row);
    bottoms[column] = row;
  });
  const reach = height >> 2, along = (values) => ({values, width, height: 1});
  const top = runningMinimum(along(tops), reach).values, bottom = runningMaximum(along(bottoms), reach).values;
  return middleOf([...bottom].map((row, column) => row + 1 - top[column]).filter((_, column) => bottoms[column] >= 0));
}

/** The median of integers, rounded down. */
function middleOf(values) {
  const sorted = [...values].sort((one, other) => one - other), half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : Math.floor((sorted[half - 1] + sorted[half]) / 2);
}

/** Of a row of strokes all that are not too wide, too low or a sliver, and can be drawn: {first, last: the numbers of two cuts
 *  in the row, seen: 784 bytes, box, width, height, gap, cut, crossings, joined, uncut}, as in pictures/candidates.py. */
function candidatesOf(strokes, line) {
  const masks = line.map(({box, group}) => boxed({...strokes.contrast, values: marked(strokes.labels, group)}, box));
  const height = middleOf(masks.map(heightOf));
  const row = masks.map((mask, index) => {
    const side = (place) => ({columns: new Array(mask.height).fill(place), ink: 0, crossings: 0});
    return {mask, box: line[index].box, cuts: [side(0), ...cutsOf(mask, height), side(mask.width)]};
  });
  const places = row.flatMap(({cuts}, body) => cuts.slice(1).map((_, number) => ({body, number, cut: cuts[number]})));
  return places.flatMap((_, first) => candidatesFrom(strokes, row, height, places, first));
}

/** Those that begin at the cut of number `first`. */
function candidatesFrom(strokes, row, height, places, first) {
  const begin = places[first], found = [];
  for (let last = first + 1; last <= places.length; last++) {
    const end = places[last - 1], bodies = row.slice(begin.body, end.body + 1);
    const parts = bodies.map((one, index) => between(one, index === 0 ? begin.number : 0,
      index === bodies.length - 1 ? end.number + 1 : one.cuts.length - 1));
    if (parts.includes(null)) continue;
    const box = boxAround(parts), high = (box.bottom - box.top) / height, wide = (box.right - box.left) / height;
    const gaps = parts.slice(1).map((part, index) => part.left - parts[index].right);
    const gap = (gaps.length ? Math.max(...gaps) : -height) / height;
    if (gap > FARTHEST || wide > WIDEST && last - first > 1) break;
    const seen = high < LOWEST || wide < NARROWEST ? null : drawCharacter(alone(strokes, parts, box));
    if (!seen) continue;
    const uncut = Math.min(9, ...places.slice(first + 1, last).filter(({number}) => number).map(({cut}) => cut.ink));
    found.push({first, last, seen, box, width: wide, height: high, gap, cut: begin.cut.ink, crossings: begin.cut.crossings,
      joined: end.body - begin.body, uncut});
  }
  return found;
}

/** What lies between two cuts of a body, given by their numbers: a mask cut to its box, with the box's edges in the picture;
 *  null if nothing does. */
function between({mask, box: {top, left}, cuts}, begin, end) {
  const from = cuts[begin].columns, to = cuts[end].columns, part = {...mask, values: new Int32Array(mask.values.length)};
  for (let row = 0, start = 0; row < mask.height; row++, start += mask.width) {
    if (from[row] < to[row]) part.values.set(mask.values.subarray(start + from[row], start + to[row]), start + from[row]);
  }
  const own = boxOf(part);
  return own && {...boxed(part, own), ...moved(own, {top, left})};
}

/** The ink of those parts without what is around them. */
function alone({contrast, threshold}, parts, {top, left, bottom, right}) {
  const around = cut(contrast, top - 2, left - 2, bottom + 2, right + 2), mask = mapped(around, () => 0);
  for (const part of parts) {
    const start = (part.top - top + 2) * mask.width + part.left - left + 2;
    part.values.forEach((value, place) => {
      if (value) mask.values[start + Math.floor(place / part.width) * mask.width + place % part.width] = 1;
    });
  }
  return {contrast: padded(cutOut(around, threshold, mask.values), 2), threshold};
}
