// Which components make the character, as choose() of pictures/ink.py.

/** The strokes of one character: the largest that is not part of the frame, and what is near and not too small; null if
 *  there are none. */
function choose(found, picture) {
  const longest = Math.max(picture.width, picture.height), photo = longest >= PHOTO;
  const pool = poolOf(found, picture);
  if (!pool.length) return null;
  const main = mainOf(pool);
  if (photo && liesAlongBorder(main) && !isFlat(picture)) return null;
  return grown(main, found.filter((part) => part !== main && !(photo && isFrame(part, picture))));
}

/** What may be a character by its size, with pieces of a frame only if there is nothing else. */
function poolOf(found, picture) {
  const inside = insideOf(found, picture), longest = Math.max(picture.width, picture.height);
  return inside.length ? inside : found.filter((part) => 64 * longerSide(part) >= longest);
}

/** The largest; a solid patch does not win by its area. */
function mainOf(pool) {
  const weight = (part) => Math.min(8 * part.area, longerSide(part) ** 2);
  return pool.reduce((most, part) => weight(part) > weight(most) ? part : most);
}

/** What is large enough for a character and not part of the frame; empty for a picture too small for a frame. */
function insideOf(found, picture) {
  const longest = Math.max(picture.width, picture.height), share = isFlat(picture) ? 16 : 40;
  if (longest < PHOTO) return [];
  return found.filter((part) => share * longerSide(part) >= longest && !isFrame(part, picture));
}

/** The main stroke and all that joins it, directly or through others. */
function grown(main, rest) {
  const group = [main];
  for (;;) {
    const box = boxAround(group), joining = new Set(rest.filter((part) => joins(part, box, main)));
    if (!joining.size) return group;
    group.push(...joining);
    rest = rest.filter((part) => !joining.has(part));
  }
}

/** Whether a part belongs to the group in the box: inside it, or near it and a stroke rather than a speck, or the flag of a 5. */
function joins(part, {top, left, bottom, right}, main) {
  const gap = Math.max(top - part.bottom, part.top - bottom, left - part.right, part.left - right);
  if (gap < 0) {
    return 20 * part.area >= main.area
      || (top <= part.top && left <= part.left && bottom >= part.bottom && right >= part.right);
  }
  if (isFlagOf(part, main) || isFlagOf(main, part)) return true;
  if (isBar(part) && 4 * (part.right - part.left) > 5 * (right - left)) return false; // an underline
  const side = Math.max(bottom - top, right - left);
  return 4 * longerSide(part) >= side && (8 * gap <= side || (5 * gap <= side && 2 * part.area <= main.area));
}

/** The number of further characters: groups of strokes from half to twice as high as the chosen one and, if those are wider
 *  than high, pieces of their height, which were too close to separate. */
function further(found, chosen, picture) {
  const {top, left, bottom, right} = boxAround(chosen), height = bottom - top;
  let count = 0, reached = left;
  for (const part of right - left < height ? [] : [...chosen].sort((one, other) => one.left - other.left)) {
    if (3 * (part.bottom - part.top) < 2 * height || part.left < reached) continue;
    count++;
    reached = part.right;
  }
  count = Math.max(count - 1, 0);
  let rest = insideOf(found, picture).filter((part) => !chosen.includes(part) && !liesAlongBorder(part));
  while (rest.length) {
    const main = rest.reduce((most, part) => longerSide(part) > longerSide(most) ? part : most);
    const group = grown(main, rest.filter((part) => part !== main)), own = boxAround(group);
    rest = rest.filter((part) => !group.includes(part));
    count += height <= 2 * (own.bottom - own.top) && own.bottom - own.top <= 2 * height;
  }
  return count;
}
