/* Convolution as sums over register tiles, and its weight gradient. The input gradient is a convolution too: of the
   output's gradient, in a border of zeros, by the weights turned round (see `turn` below). */

#define MOST_OUT 8
#define MOST_WIDE 32

typedef struct { int side, stride, padding, dilation, groups; } Kernel;

typedef struct { int from, to; } Rows;  /* of a kernel's taps */

/* The rows of taps that do not lie in the padding above or below, in windows of output row y. */
INLINE Rows rows_inside(int y, int height, Kernel k)
{
    if (!k.padding) return (Rows){0, k.side};
    const int top = y * k.stride - k.padding;
    int from = 0, to = k.side;
    while (from < k.side && top + from * k.dilation < 0) from++;
    while (to > from && top + (to - 1) * k.dilation >= height) to--;
    return (Rows){from, to};
}

/* OUT output channels of WIDE columns of one row, into `out`.
   in: the first tap of the first window, in the first input channel of the group; w: [OUT][inputs][side][side]. */
INLINE void tile(const vec *in, int plane, int pitch, int inputs, const float *w, const float *bias, vec *out,
                 int out_plane, Kernel k, Rows rows, int OUT, int WIDE)
{
    vec sums[MOST_OUT][MOST_WIDE];
    EACH(o, OUT) EACH(x, WIDE) sums[o][x] = splat(bias ? bias[o] : 0);
    for (int i = 0; i < inputs; i++)
        for (int ky = rows.from; ky < rows.to; ky++) {
            const vec *row = in + i * plane + ky * k.dilation * pitch;
            const float *taps = w + (i * k.side + ky) * k.side;
            EACH(kx, k.side) EACH(o, OUT) EACH(x, WIDE)
                sums[o][x] += row[x * k.stride + kx * k.dilation] * taps[o * inputs * k.side * k.side + kx];
        }
    EACH(o, OUT) EACH(x, WIDE) out[o * out_plane + x] = sums[o][x];
}

/* WIDE columns of one row of all output channels of a group: what the windows see stays in the nearest cache. */
INLINE void tiles_of_all(const vec *in, int plane, int pitch, int inputs, const float *w, const float *bias, vec *out,
                         int out_plane, int outputs, Kernel k, Rows rows, int OUT, int WIDE)
{
    const int weights = inputs * k.side * k.side, rest = outputs % OUT;
    for (int o = 0; o + OUT <= outputs; o += OUT)
        tile(in, plane, pitch, inputs, w + o * weights, bias ? bias + o : 0, out + o * out_plane, out_plane, k, rows,
             OUT, WIDE);
    if (rest) {
        const int o = outputs - rest;
        tile(in, plane, pitch, inputs, w + o * weights, bias ? bias + o : 0, out + o * out_plane, out_plane, k, rows,
             rest, WIDE);
    }
}

/* Rows that lie one after another as one long row. */
INLINE Map in_one_row(Map map)
{
    map.width *= map.height, map.height = 1;
    return map;
}

/* out = bias + sum over the inputs of a group and side x side taps.
   w: [groups][outputs of a group][inputs of a group][side][side]; bias: [outputs], or NULL.
   A tile of 2 channels and 4 columns was the fastest of fourteen; a row's tiles differ by at most one column. */
INLINE void convolve(Map in, const float *w, const float *bias, Map out, Kernel k)
{
    if (k.side == 1 && k.stride == 1 && k.padding == 0 && in.pitch == in.width && out.pitch == out.width)
        in = in_one_row(in), out = in_one_row(out);
    const int inputs = in.channels / k.groups, outputs = out.channels / k.groups;
    const int OUT = outputs < 2 ? outputs : 2, WIDEST = OUT > 1 ? 4 : REGISTERS / 3;
    const int tiles = (out.width + WIDEST - 1) / WIDEST, wide = (out.width + tiles - 1) / tiles;
    const int wider = out.width - tiles * (wide - 1);  /* how many tiles have `wide` columns, the others one less */
    for (int g = 0; g < k.groups; g++)
        for (int y = 0; y < out.height; y++) {
            const vec *from = &AT(in, g * inputs, y * k.stride - k.padding, -k.padding);
            const float *weights = w + g * outputs * inputs * k.side * k.side, *added = bias ? bias + g * outputs : 0;
            const Rows rows = rows_inside(y, in.height, k);
            vec *to = &AT(out, g * outputs, y, 0);
            for (int n = 0; n < wider; n++, from += wide * k.stride, to += wide)
                tiles_of_all(from, in.plane, in.pitch, inputs, weights, added, to, out.plane, outputs, k, rows, OUT, wide);
            for (int n = wider; n < tiles; n++, from += (wide - 1) * k.stride, to += wide - 1)
                tiles_of_all(from, in.plane, in.pitch, inputs, weights, added, to, out.plane, outputs, k, rows, OUT,
                             wide - 1);
        }
}

/* The gradient of OUT x IN kernels, ROWS rows of taps from row `first` on: sums over all pixels of the output's
   gradient times what the tap saw. in, out: their first channel; gradient: [OUT][inputs][side][side], its first input. */
INLINE void kernel_tile(const vec *in, const vec *out, float *gradient, Map seen, Map made, int first, int inputs,
                        Kernel k, int OUT, int IN, int ROWS)
{
    vec sums[MOST_OUT][MOST_OUT * MOST_WIDE];
    EACH(o, OUT) EACH(n, IN * ROWS * k.side) sums[o][n] = splat(0);
    for (int y = 0; y < made.height; y++) {
        const vec *row = in + (y * k.stride + first * k.dilation) * seen.pitch, *error = out + y * made.pitch;
        for (int x = 0; x < made.width; x++)
            EACH(i, IN) EACH(ky, ROWS) EACH(kx, k.side) {
                vec tap = row[i * seen.plane + ky * k.dilation * seen.pitch + x * k.stride + kx * k.dilation];
                EACH(o, OUT) sums[o][(i * ROWS + ky) * k.side + kx] += error[o * made.plane + x] * tap;
            }
    }
    EACH(o, OUT) EACH(i, IN) EACH(n, ROWS * k.side)
        gradient[((o * inputs + i) * k.side + first) * k.side + n] = total(sums[o][i * ROWS * k.side + n]);
}

/* gradient: of all weights, in their order, for LANES images. in: what the convolution saw; out: the gradient of what it
   made. The sums for OUT outputs, IN inputs and ROWS rows of taps are held in registers at once; they divide outputs and
   inputs of a group, and side. */
INLINE void weight_gradient(Map in, Map out, float *gradient, Kernel k, int OUT, int IN, int ROWS)
{
    const int inputs = in.channels / k.groups, outputs = out.channels / k.groups;
    for (int g = 0; g < k.groups; g++)
        for (int o = g * outputs; o < (g + 1) * outputs; o += OUT)
            for (int i = 0; i < inputs; i += IN)
                for (int first = 0; first < k.side; first += ROWS)
                    kernel_tile(&AT(in, g * inputs + i, -k.padding, -k.padding), &AT(out, o, 0, 0),
                                gradient + (o * inputs + i) * k.side * k.side, in, out, first, inputs, k, OUT, IN, ROWS);
}

/* The gradient of a bias, [channels], from that of what the convolution made. */
INLINE void bias_gradient(Map out, float *gradient)
{
    for (int c = 0; c < out.channels; c++) {
        vec sum = splat(0);
        for (int y = 0; y < out.height; y++) {
            vec of_row = splat(0);
            for (int x = 0; x < out.width; x++) of_row += AT(out, c, y, x);
            sum += of_row;
        }
        gradient[c] = total(sum);
    }
}

/* to = from with stride - 1 zeros between its pixels, which are there already: for the input gradient of a stride. */
INLINE void spread(Map from, Map to, int stride)
{
    for (int c = 0; c < from.channels; c++)
        PIXELS(y, x, from) AT(to, c, y * stride, x * stride) = AT(from, c, y, x);
}

/* The weights of the input gradient: [groups][inputs][outputs][side][side] from [groups][outputs][inputs][side][side],
   each kernel turned by half a circle. inputs, outputs: of a group. */
static void turn(const float *w, float *to, int groups, int inputs, int outputs, int side)
{
    const int taps = side * side;
    for (int g = 0; g < groups; g++)
        for (int o = 0; o < outputs; o++)
            for (int i = 0; i < inputs; i++)
                for (int n = 0; n < taps; n++)
                    to[((g * inputs + i) * outputs + o) * taps + taps - 1 - n] =
                        w[((g * outputs + o) * inputs + i) * taps + n];
}
