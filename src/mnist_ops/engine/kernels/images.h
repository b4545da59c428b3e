/* Bytes of LANES images -> the network's input, jittered, warped and scaled on the way. */

#define TABLE ((INPUT_HEIGHT + 2) * (INPUT_WIDTH + 2))  /* floats of one channel in a border of one pixel */

typedef struct {
    const uint8_t *pixels;        /* [images][INPUT_CHANNELS][INPUT_HEIGHT][INPUT_WIDTH], 0 black */
    const int64_t *labels;        /* [images] */
    const int64_t *index;         /* [count]: which images */
    const float *maps;            /* [count][9] from output to input coordinates, as data/warp.py has them; or NULL */
    const float *brightness, *contrast;  /* [count] factors; or NULL */
    const float *weights;         /* [CLASSES] what an image counts for in the loss; or NULL */
    float mean[3], sd[3];         /* of each channel, of values in [0, 1] */
    float fill[3];                /* value of what lies outside the frame */
    int edge;                     /* if not 0, that is the nearest pixel instead */
    int count;
} Batch;

INLINE float unit(float value) { return value < 0 ? 0 : value > 1 ? 1 : value; }

/* One channel, of which `shades` says what each byte becomes before it is scaled. */
static void fill_table(const Batch *batch, int channel, const float *shades, const uint8_t *pixels, float *table)
{
    const int pitch = INPUT_WIDTH + 2;
    const float mean = batch->mean[channel], factor = 1 / batch->sd[channel];
    const float outside = (batch->fill[channel] - mean) * factor;
    float scaled[256];
    for (int i = 0; i < 256; i++) scaled[i] = (shades[i] - mean) * factor;
    for (int x = 0; x < pitch; x++) table[x] = table[(INPUT_HEIGHT + 1) * pitch + x] = outside;
    for (int y = 0; y < INPUT_HEIGHT; y++) {
        float *row = table + (y + 1) * pitch;
        row[0] = row[pitch - 1] = outside;
        for (int x = 0; x < INPUT_WIDTH; x++) row[x + 1] = scaled[pixels[y * INPUT_WIDTH + x]];
    }
}

/* One image as scaled floats in a border of `fill`: [INPUT_CHANNELS][INPUT_HEIGHT + 2][INPUT_WIDTH + 2]. */
static void fill_tables(const Batch *batch, int place, float *tables)
{
    const int size = INPUT_CHANNELS * INPUT_HEIGHT * INPUT_WIDTH;
    const uint8_t *pixels = batch->pixels + batch->index[place] * size;
    const float bright = batch->brightness ? batch->brightness[place] : 1;
    float shades[256];  /* what each byte becomes */
    for (int i = 0; i < 256; i++) shades[i] = unit(i / 255.0f * bright);
    if (batch->contrast) {
        double sum = 0;
        for (int i = 0; i < size; i++) sum += shades[pixels[i]];
        const float middle = (float)(sum / size), spread = batch->contrast[place];
        for (int i = 0; i < 256; i++) shades[i] = unit((shades[i] - middle) * spread + middle);
    }
    for (int c = 0; c < INPUT_CHANNELS; c++)
        fill_table(batch, c, shades, pixels + c * INPUT_HEIGHT * INPUT_WIDTH, tables + c * TABLE);
}

INLINE vec within(vec value, float low, float high)
{
    value = choose(value < low, splat(low), value);
    return choose(value > high, splat(high), value);
}

/* Images first .. first + live - 1 of the batch into the map; the other lanes become 0. tables: [LANES][INPUT_CHANNELS]
   [TABLE] of room. Bilinear, at the mapped centre of each pixel (Jaderberg et al. 2015, arXiv:1506.02025). */
static void place_images(const Batch *batch, int first, int live, Map map, float *tables)
{
    const int pitch = INPUT_WIDTH + 2;
    const float reach = batch->edge ? 0 : 1;  /* pixels beyond the frame */
    float h[9][LANES] = {{0}};
    memset(tables + live * INPUT_CHANNELS * TABLE, 0, sizeof(float) * (LANES - live) * INPUT_CHANNELS * TABLE);
    for (int lane = 0; lane < LANES; lane++) h[8][lane] = 1;
    for (int lane = 0; lane < live; lane++) {
        fill_tables(batch, first + lane, tables + lane * INPUT_CHANNELS * TABLE);
        for (int i = 0; batch->maps && i < 9; i++) h[i][lane] = batch->maps[(first + lane) * 9 + i];
    }
    if (!batch->maps) {
        for (int c = 0; c < INPUT_CHANNELS; c++)
            PIXELS(y, x, map)
                for (int lane = 0; lane < LANES; lane++)
                    AT(map, c, y, x)[lane] = tables[(lane * INPUT_CHANNELS + c) * TABLE + (y + 1) * pitch + x + 1];
        return;
    }
    vec m[9];
    memcpy(m, h, sizeof m);
    PIXELS(y, x, map) {
        const float across = (2 * x + 1) / (float)INPUT_WIDTH - 1, down = (2 * y + 1) / (float)INPUT_HEIGHT - 1;
        const vec depth = m[6] * across + m[7] * down + m[8];
        vec u = (m[0] * across + m[1] * down + m[2]) / depth, v = (m[3] * across + m[4] * down + m[5]) / depth;
        u = within(((u + 1) * INPUT_WIDTH - 1) / 2, -reach, INPUT_WIDTH - 1 + reach) + 1;  /* in columns of the table */
        v = within(((v + 1) * INPUT_HEIGHT - 1) / 2, -reach, INPUT_HEIGHT - 1 + reach) + 1;
        ivec column = __builtin_convertvector(u, ivec), row = __builtin_convertvector(v, ivec);
        column += column > INPUT_WIDTH;  /* -1 where true: at the last column, whose right neighbour has no weight */
        row += row > INPUT_HEIGHT;
        const vec right = u - __builtin_convertvector(column, vec), below = v - __builtin_convertvector(row, vec);
        const ivec places_of = row * pitch + column;
        for (int c = 0; c < INPUT_CHANNELS; c++) {
            float corners[4][LANES];
            EACH(lane, LANES) {
                const float *at = tables + (lane * INPUT_CHANNELS + c) * TABLE + places_of[lane];
                corners[0][lane] = at[0], corners[1][lane] = at[1];
                corners[2][lane] = at[pitch], corners[3][lane] = at[pitch + 1];
            }
            vec k[4];
            memcpy(k, corners, sizeof k);
            const vec upper = k[0] + right * (k[1] - k[0]), lower = k[2] + right * (k[3] - k[2]);
            AT(map, c, y, x) = upper + below * (lower - upper);
        }
    }
}
