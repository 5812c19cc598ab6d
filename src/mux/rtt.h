#ifndef MUX_RTT_H
#define MUX_RTT_H

#include <stdint.h>

/*
 * The smallest round trip of late, out of samples that are never too small and
 * often too large: answers to heartbeats and echoes of credit (mux/window.h),
 * each with what queues and busy processes added. The kernel's own measure
 * (TCP_INFO) is none of them: where a relay or a balancer ends the connection
 * it knows the way to that alone, and would make every window too small.
 *
 *	older | newer | now
 *	each of RTT_SPAN_US, and begun by a sample: while none comes nothing is
 *	forgotten
 */
enum { RTT_SPAN_US = 10 * 1000 * 1000 };

struct rtt {
	uint64_t older_us, newer_us;	/* smallest in each, 0: none */
	uint64_t since_us;		/* when the newer began */
};

/* A round trip that took sample_us ended at now_us. */
void rtt_add(struct rtt *r, uint64_t sample_us, uint64_t now_us);

/* 0: none was measured yet. */
uint64_t rtt_smallest(const struct rtt *r);

#endif
