// Not part of the page: asks it for predictions on images, and writes them as a line that is easy to find.

/** The page's predictions on `count` images of equal size, base64 of a byte per pixel; or its error. */
function proof(engine, images, count) {
  try {
    const bytes = Uint8Array.from(atob(images), (character) => character.charCodeAt(0)), size = bytes.length / count;
    const answers = Array.from({length: count},
      (_, index) => mnistOps.answer(bytes.subarray(index * size, (index + 1) * size)));
    return {engine, best: answers.map(({best}) => best), probabilities: answers.map((one) => one.probabilities),
      oddness: answers.map((one) => one.oddness)};
  } catch (error) {
    return {engine, error: String(error)};
  }
}

/** The line. A browser writes its text out as markup: there is nothing to escape in it. */
function line(answers) {
  const escaped = (one) => `\\u00${one.charCodeAt(0).toString(16)}`;
  return `mnist-ops answers: ${JSON.stringify(answers).replace(/[<>&\xa0]/g, escaped)}`;
}
