/* SPDX-License-Identifier: GPL-2.0 */
/*
 * No UDP datagram is received on port 4242: a function of the network's hot path, with a test of a
 * tracepoint on it (kfree_skb_reason), and a string of its own.
 *
 * In the guest: a datagram to 127.0.0.1:4242 arrives before and after, and not meanwhile; one to
 * 4243 arrives at all times. Load: datagrams in a loop.
 */
#include <linux/printk.h>
#include <linux/skbuff.h>
#include <linux/udp.h>
#include <net/udp.h>

#include <vmpoke/hotfix.h>

extern int __udp4_lib_rcv(struct sk_buff *skb, struct udp_table *udptable, int proto);

static int fixed_udp_rcv(struct sk_buff *skb)
{
	if (pskb_may_pull(skb, sizeof(struct udphdr)) && udp_hdr(skb)->dest == htons(4242)) {
		pr_info_once("hotfix: a datagram to port 4242\n");
		kfree_skb_reason(skb, SKB_DROP_REASON_SOCKET_FILTER);
		return 0;
	}
	return __udp4_lib_rcv(skb, &udp_table, IPPROTO_UDP);
}

VMPOKE_HOTFIX("udp-port", "1", "no datagram is received on UDP port 4242");
VMPOKE_REPLACE(udp_rcv, fixed_udp_rcv);
