/* Batch normalisation, dropout and ReLU in one pass over a map, and back. All arrays are [channels] of it. */

typedef struct {
    int norm, relu;
    uint32_t dropped;  /* share of the elements that dropout makes 0, in 1 / 2**32 */
    float raised;      /* what the others are multiplied by */
} Kind;

/* Mean, and sum of squared deviations from it, of each channel over the live images of a block. The second pass is
   about the mean of the first, so that nothing cancels where that is large, and mends what its sum lost by rounding. */
INLINE void moments(Map map, vec live, float images, float *means, float *squares)
{
    for (int c = 0; c < map.channels; c++) {
        vec sum = splat(0), rest = splat(0), squared = splat(0);
        PIXELS(y, x, map) sum += AT(map, c, y, x);
        const float count = images * map.height * map.width, near = total(sum * live) / count;
        PIXELS(y, x, map) {
            vec apart = AT(map, c, y, x) - near;
            rest += apart, squared += apart * apart;
        }
        const float mended = total(rest * live) / count;
        means[c] = near + mended;
        squares[c] = total(squared * live) - mended * mended * count;
    }
}

/* Random bits of one element of each image: `seeds` differ from image to image, step to step and layer to layer.
   The mixing is that of MurmurHash3 (Appleby 2011). */
INLINE uvec bits_of(uvec seeds, uint32_t element)
{
    uvec x = seeds + element * 0x9e3779b9u;
    x = (x ^ (x >> 16)) * 0x85ebca6bu;
    x = (x ^ (x >> 13)) * 0xc2b2ae35u;
    return x ^ (x >> 16);
}

/* Whether dropout keeps an element: -1 or 0 for each image. */
INLINE ivec kept(uvec seeds, Map map, int c, int y, int x, uint32_t dropped)
{
    return (ivec)(bits_of(seeds, (uint32_t)((c * map.height + y) * map.width + x)) >= dropped);
}

/* out = relu(dropout(norm(in))), each part where `kind` says so; the scale has the inverse SD in it. */
INLINE void activate(Map in, Map out, const float *mean, const float *scale, const float *shift, uvec seeds, Kind kind)
{
    for (int c = 0; c < in.channels; c++)
        PIXELS(y, x, in) {
            vec value = AT(in, c, y, x);
            if (kind.norm) value = (value - mean[c]) * scale[c] + shift[c];
            if (kind.dropped) value = choose(kept(seeds, in, c, y, x, kind.dropped), value * kind.raised, splat(0));
            if (kind.relu) value = choose(value < 0, splat(0), value);  /* NaN stays NaN */
            AT(out, c, y, x) = value;
        }
}

/* to = the gradient before dropout and ReLU, from `after`, that behind them, which may be the same place; in and out as
   `activate` had them. With a norm also the sum of that gradient, and of its product with the normalised map. */
INLINE void undo_activation(Map after, Map out, Map in, Map to, const float *mean, const float *inverse, float *sums,
                            float *products, uvec seeds, Kind kind)
{
    for (int c = 0; c < in.channels; c++) {
        vec sum = splat(0), product = splat(0);
        for (int y = 0; y < in.height; y++) {
            vec of_row = splat(0), product_of_row = splat(0);  /* see `average` in pool.h */
            for (int x = 0; x < in.width; x++) {
                vec value = AT(after, c, y, x);
                if (kind.relu) value = choose(AT(out, c, y, x) > 0, value, splat(0));  /* 0 where dropped, too */
                else if (kind.dropped) value = choose(kept(seeds, in, c, y, x, kind.dropped), value, splat(0));
                if (kind.dropped) value *= kind.raised;
                AT(to, c, y, x) = value;
                if (kind.norm) of_row += value, product_of_row += value * (AT(in, c, y, x) - mean[c]);
            }
            sum += of_row, product += product_of_row;
        }
        if (kind.norm) sums[c] = total(sum), products[c] = total(product) * inverse[c];
    }
}

/* to = the gradient of a norm's input, from `after`, that of its output, and the means over the batch of `sums` and
   `products` above (Ioffe and Szegedy 2015, arXiv:1502.03167). Images that are not live get none. */
INLINE void undo_norm(Map after, Map in, Map to, const float *mean, const float *inverse, const float *scale,
                      const float *sums, const float *products, vec live)
{
    for (int c = 0; c < in.channels; c++) {
        const float slope = inverse[c] * products[c];
        const vec factor = live * scale[c];
        PIXELS(y, x, in)
            AT(to, c, y, x) = (AT(after, c, y, x) - sums[c] - (AT(in, c, y, x) - mean[c]) * slope) * factor;
    }
}

/* to = from, or to += from where ADDED. */
INLINE void add(Map from, Map to, int ADDED)
{
    for (int c = 0; c < to.channels; c++)
        PIXELS(y, x, to) AT(to, c, y, x) = ADDED ? AT(to, c, y, x) + AT(from, c, y, x) : AT(from, c, y, x);
}
