/* Mean cross-entropy with label smoothing (Szegedy et al. 2016, arXiv:1512.00567) and its gradient.

   logits, gradient: one pixel of each class; labels: [live], of the images that there are; weights: [classes], what an
   image counts for by its label, or NULL; share: 1 / images of the batch; each: [live], the cross-entropy of each without
   smoothing and weight. -> the sum of the losses, in nats. Images whose largest logit, the first of equal ones, is that
   of their label are added to *correct. */
static double cross_entropy(Map logits, Map gradient, const int64_t *labels, int live, const float *weights,
                            float smoothing, float share, float *each, int *correct)
{
    const int classes = logits.channels;
    double loss = 0;
    for (int c = 0; c < classes; c++) AT(gradient, c, 0, 0) = splat(0);
    for (int lane = 0; lane < live; lane++) {
        float most = AT(logits, 0, 0, 0)[lane], sum = 0, mean = 0;
        int best = 0;
        for (int c = 0; c < classes; c++) {
            const float value = AT(logits, c, 0, 0)[lane];
            if (value > most) most = value, best = c;
            mean += value / classes;
        }
        for (int c = 0; c < classes; c++) sum += expf(AT(logits, c, 0, 0)[lane] - most);
        const int label = (int)labels[lane];
        const float normaliser = most + logf(sum);
        each[lane] = normaliser - AT(logits, label, 0, 0)[lane];
        const float weight = weights ? weights[label] : 1, counted = share * weight;
        loss += weight * (normaliser - (1 - smoothing) * AT(logits, label, 0, 0)[lane] - smoothing * mean);
        for (int c = 0; c < classes; c++)
            AT(gradient, c, 0, 0)[lane] = counted * (expf(AT(logits, c, 0, 0)[lane] - normaliser)
                                                     - (c == label) * (1 - smoothing) - smoothing / classes);
        *correct += best == label;
    }
    return loss;
}
