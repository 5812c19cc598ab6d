/* Every decoder: what it takes is encoded to the same bytes again. */
#include <stdlib.h>

#include "vectors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t out[VECTOR_MAX];
	struct frame f;
	size_t n;

	if (size < FRAME_HEAD || size > VECTOR_MAX)
		return 0;
	f = frame_get(data);
	f.len = (uint32_t)(size - FRAME_HEAD);
	n = vector_again(&f, data + FRAME_HEAD, out, sizeof out);
	if (!n)
		return 0;
	/* A duration is clamped, so those may differ. */
	if (f.type == FRAME_ERROR || f.type == FRAME_SHUTDOWN || f.type == FRAME_BIND_ERR)
		return 0;
	if (n != size || memcmp(out + FRAME_HEAD, data + FRAME_HEAD, n - FRAME_HEAD) != 0)
		abort();
	return 0;
}
