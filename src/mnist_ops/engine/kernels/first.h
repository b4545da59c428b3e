/* The first convolution of a network and the pool behind it in one: its map, the largest of all, is kept nowhere. The
   pool's windows are side x side and lie side by side; the convolution has no padding. No input gradient is needed. */

/* out, where: as `pool_max` makes them of what `convolve` makes of in. rows: room for `side` rows of four channels. */
INLINE void convolve_and_pool(Map in, const float *w, const float *bias, Map out, places *where, vec *rows, Kernel k,
                              int side)
{
    const int width = (in.width - k.dilation * (k.side - 1) - 1) / k.stride + 1;
    const int inputs = in.channels / k.groups, outputs = out.channels / k.groups, OUT = outputs < 4 ? outputs : 4;
    const Kernel one_group = {k.side, k.stride, 0, k.dilation, 1};
    for (int y = 0; y < out.height; y++)
        for (int g = 0; g < k.groups; g++)
            for (int o = 0; o < outputs; o += OUT) {
                /* Of a number of channels that OUT does not divide, the last ones once more. */
                const int first = g * outputs + (o + OUT <= outputs ? o : outputs - OUT);
                const Map seen = {&AT(in, g * inputs, y * side * k.stride, 0), in.plane, in.pitch, inputs,
                                  in.height - y * side * k.stride, in.width};
                const Map found = {rows, side * width, width, OUT, side, width};
                const Map pooled = {&AT(out, first, y, 0), out.plane, out.pitch, OUT, 1, out.width};
                convolve(seen, w + first * inputs * k.side * k.side, bias ? bias + first : 0, found, one_group);
                pool_max(found, pooled, where + (first * out.height + y) * out.width, out.height * out.width,
                         (Kernel){side, side, 0, 1, 1});
            }
}

/* gradient: of all weights for LANES images; after: the gradient of the pooled map, which goes to one pixel of each
   window alone. */
INLINE void pooled_weight_gradient(Map in, Map after, const places *where, float *gradient, Kernel k, int side)
{
    const int inputs = in.channels / k.groups, outputs = after.channels / k.groups, taps = k.side * k.side;
    for (int o = 0; o < after.channels; o++)
        for (int i = 0; i < inputs; i++) {
            vec sums[MOST_OUT * MOST_OUT];
            EACH(n, taps) sums[n] = splat(0);
            for (int y = 0; y < after.height; y++)
                for (int x = 0; x < after.width; x++) {
                    const ivec place = __builtin_convertvector(where[(o * after.height + y) * after.width + x], ivec);
                    const vec error = AT(after, o, y, x);
                    const vec *at = &AT(in, o / outputs * inputs + i, y * side * k.stride, x * side * k.stride);
                    EACH(n, side * side) {
                        const vec chosen = choose(place == n, error, splat(0));
                        const vec *seen = at + (n / side * in.pitch + n % side) * k.stride;
                        EACH(ky, k.side) EACH(kx, k.side)
                            sums[ky * k.side + kx] += chosen * seen[ky * k.dilation * in.pitch + kx * k.dilation];
                    }
                }
            EACH(n, taps) gradient[(o * inputs + i) * taps + n] = total(sums[n]);
        }
}
