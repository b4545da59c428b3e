// Which components make the character, as choose() of pictures/ink.py.

/** The strokes of one character: the largest that is not part of the frame, and what is near and not too small; null if
 *  there are none. */
function choose(found, picture) {
  const longest = Math.max(picture.width, picture.height), photo = longest >= PHOTO;
  const inside = insideOf(found, picture);
  const pool = inside.length ? inside : found.filter((part) => 64 * longerSide(part) >= longest);
  if (!pool.length) return null;
  const weight = (part) => Math.min(8 * part.area, longerSide(part) ** 2); // a solid patch does not win by its area
  const main = pool.reduce((most, part) => weight(part) > weight(most) ? part : most);
  if (photo && liesAlongBorder(main) && !isFlat(picture)) return null;
  return grown(main, found.filter((part) => part !== main && !(photo && isFrame(part, picture))));
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
