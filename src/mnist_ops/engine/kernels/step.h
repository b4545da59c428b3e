/* What is called from outside: make a network, step, evaluate, end. */

static uint64_t mixed(uint64_t x)  /* the finaliser of SplitMix64 (Steele et al. 2014) */
{
    x = (x + 0x9e3779b97f4a7c15u);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* Take the images from number `first` of the batch on into the block. */
static void open_block(Net *n, Own *p, Block *b, int first)
{
    const int left = n->batch->count - first;
    b->first = first;
    b->live = left < LANES ? left : LANES;
    for (int lane = 0; lane < LANES; lane++) b->live_lanes[lane] = lane < b->live;
    for (int d = 0; d < DROPOUTS; d++)
        for (int lane = 0; lane < LANES; lane++)
            b->seeds[d][lane] = (uint32_t)mixed(n->stream + mixed((uint64_t)d << 32 | (uint64_t)(first + lane)));
    place_images(n->batch, first, b->live, INPUT, p->tables);
}

static void train_thread(void *job, int thread)
{
    Net *n = job;
    Own *p = n->own + thread;
    const int from = n->used * thread / n->team.threads, to = n->used * (thread + 1) / n->team.threads;
    p->training = 1;
    for (int k = from; k < to; k++) open_block(n, p, n->block + k, k * LANES);
    for (int phase = 0; phase < PHASES; phase++) {
        if (before[phase]) before[phase](n, p, thread);
        for (int k = from; k < to; k++) phases[phase](n, p, n->block + k);
        meet(&n->team);
    }
    update(n, p, thread);
}

static void read_thread(void *job, int thread)
{
    Net *n = job;
    Own *p = n->own + thread;
    Block *b = n->block + thread;
    p->training = 0;
    for (int c = 0; c < NORMALISED; c++) {
        p->mean[c] = n->running[c];
        p->scale[c] = n->values[scales[c]] / sqrtf(n->running[NORMALISED + c] + EPSILON);
    }
    for (int first = thread * LANES; first < n->batch->count; first += n->team.threads * LANES) {
        open_block(n, p, b, first);
        read_block(n, p, b);
        for (int lane = 0; lane < b->live; lane++)
            for (int c = 0; c < CLASSES; c++)
                n->logits[(size_t)(first + lane) * CLASSES + c] = AT(LOGITS, c, 0, 0)[lane];
    }
}

static void *zeros(size_t count, size_t size)
{
    size_t bytes = (count * size + 63) / 64 * 64;
    void *made = bytes ? aligned_alloc(64, bytes) : aligned_alloc(64, 64);
    if (made) memset(made, 0, bytes);
    return made;
}

void end_network(Net *n)
{
    if (n->team.threads) end_team(&n->team);
    for (int k = 0; n->block && k < n->blocks; k++) {
        Block *b = n->block + k;
        free(b->maps), free(b->where), free(b->gradient), free(b->means);
    }
    for (int t = 0; n->own && t < n->threads; t++) free(n->own[t].mean), free(n->own[t].tables), free(n->own[t].room), free(n->own[t].rows);
    free(n->block), free(n->own), free(n->gradient), free(n->turned), free(n->losses), free(n);
}

/* A network for batches of at most `images` images, worked on by so many threads; NULL without memory. values, first,
   second: [PARAMETERS]; running: [2][NORMALISED]; they stay the caller's, who may read and write them between steps. */
Net *make_network(int images, int threads, float *values, float *first, float *second, float *running)
{
    Net *n = zeros(1, sizeof *n);
    if (!n) return NULL;
    n->threads = threads, n->values = values, n->first = first, n->second = second, n->running = running;
    n->blocks = (images + LANES - 1) / LANES;
    if (n->blocks < threads) n->blocks = threads;
    n->block = zeros(n->blocks, sizeof *n->block);
    n->own = zeros(threads, sizeof *n->own);
    n->gradient = zeros(PARAMETERS, sizeof(float));
    n->turned = zeros(TURNED, sizeof(float));
    n->losses = zeros((size_t)n->blocks * LANES, sizeof(float));
    int whole = n->block && n->own && n->gradient && n->turned && n->losses;
    for (int k = 0; whole && k < n->blocks; k++) {
        Block *b = n->block + k;
        b->maps = zeros(ROOM, sizeof(vec));
        b->where = zeros(WHERE, sizeof(places));
        b->gradient = zeros(PARAMETERS, sizeof(float));
        b->means = zeros(4 * NORMALISED, sizeof(float));
        whole = b->maps && b->where && b->gradient && b->means;
        if (whole) b->squares = b->means + NORMALISED, b->sums = b->squares + NORMALISED, b->products = b->sums + NORMALISED;
    }
    for (int t = 0; whole && t < threads; t++) {
        Own *p = n->own + t;
        p->mean = zeros(5 * NORMALISED, sizeof(float));
        p->tables = zeros((size_t)LANES * INPUT_CHANNELS * TABLE, sizeof(float));
        p->room = zeros(OPTIMIZER == MUON ? (size_t)4 * LARGEST_KERNEL : 1, sizeof(float));
        p->rows = zeros(POOLED_ROWS, sizeof(vec));
        whole = p->mean && p->tables && p->room && p->rows;
        if (whole) {
            p->inverse = p->mean + NORMALISED, p->scale = p->inverse + NORMALISED;
            p->sums = p->scale + NORMALISED, p->products = p->sums + NORMALISED;
        }
    }
    if (whole) begin_team(&n->team, threads);
    else end_network(n), n = NULL;
    return n;
}

/* Train on one batch. loss: the sum over its images, in nats; correct: images that were read right before the step. */
void train_step(Net *n, const Batch *batch, const Rates *kernels, const Rates *vectors, float smoothing, uint64_t stream,
                double *loss, int *correct)
{
    n->batch = batch, n->kernels = *kernels, n->vectors = *vectors, n->smoothing = smoothing, n->stream = stream;
    n->used = (batch->count + LANES - 1) / LANES;
    together(&n->team, train_thread, n);
    *loss = 0, *correct = 0;
    for (int k = 0; k < n->used; k++) *loss += n->block[k].loss, *correct += n->block[k].correct;
}

/* Images that a vector holds. */
int lanes(void) { return LANES; }

/* The gradient that the last step changed the values by: [PARAMETERS]. */
const float *last_gradient(const Net *n) { return n->gradient; }

/* The cross-entropy of each image of the last step, without smoothing or weights: [images of its batch]. */
const float *last_losses(const Net *n) { return n->losses; }

/* To be called where the values were changed from outside. */
void values_changed(Net *n) { turn_all(n); }

/* logits: [images of the batch][CLASSES], by the running statistics. */
void read_images(Net *n, const Batch *batch, float *logits)
{
    n->batch = batch, n->logits = logits;
    together(&n->team, read_thread, n);
}
