/* media/g711.h - u-law (ITU-T G.711), sample by sample. Pure. */
#ifndef MEDIA_G711_H
#define MEDIA_G711_H

#include <stddef.h>
#include <stdint.h>

#define ULAW_SILENCE 0xff

uint8_t ulaw_from_linear(int16_t pcm);
int16_t ulaw_to_linear(uint8_t u);
void ulaw_encode(const int16_t *pcm, size_t n, uint8_t *out);
void ulaw_decode(const uint8_t *u, size_t n, int16_t *out);

#endif
