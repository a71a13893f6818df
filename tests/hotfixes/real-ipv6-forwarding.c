/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Debian 6.1.176-1 to 6.1.192-2, net/ipv6/addrconf.c: a write to the sysctl `forwarding` told of
 * one byte written instead of all, and what could not be parsed switched forwarding all the same.
 * The compiler had put two helpers into the function that is replaced: they come with it.
 * Release: 6.1.0-50-amd64
 *
 * In the guest, as root: write(fd, "0\n", 2) to /proc/sys/net/ipv6/conf/all/forwarding is 1 before
 * and after, and 2 meanwhile; a write of "x\n" is 1 before and after, and EINVAL meanwhile.
 */
#include <linux/inetdevice.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <linux/sysctl.h>
#include <net/addrconf.h>
#include <net/ip6_route.h>

#include <vmpoke/hotfix.h>

extern void dev_forward_change(struct inet6_dev *idev);

static void addrconf_forward_change(struct net *net, __s32 newf)
{
	struct net_device *dev;
	struct inet6_dev *idev;

	for_each_netdev(net, dev)
	{
		idev = __in6_dev_get(dev);
		if (idev) {
			int changed = (!idev->cnf.forwarding) ^ (!newf);

			idev->cnf.forwarding = newf;
			if (changed)
				dev_forward_change(idev);
		}
	}
}

static int addrconf_fixup_forwarding(struct ctl_table *table, int *p, int newf)
{
	struct net *net;
	int old;

	if (!rtnl_trylock())
		return restart_syscall();

	net = (struct net *)table->extra2;
	old = *p;
	*p = newf;

	if (p == &net->ipv6.devconf_dflt->forwarding) {
		if ((!newf) ^ (!old))
			inet6_netconf_notify_devconf(net, RTM_NEWNETCONF, NETCONFA_FORWARDING,
						     NETCONFA_IFINDEX_DEFAULT,
						     net->ipv6.devconf_dflt);
		rtnl_unlock();
		return 0;
	}

	if (p == &net->ipv6.devconf_all->forwarding) {
		int old_dflt = net->ipv6.devconf_dflt->forwarding;

		net->ipv6.devconf_dflt->forwarding = newf;
		if ((!newf) ^ (!old_dflt))
			inet6_netconf_notify_devconf(net, RTM_NEWNETCONF, NETCONFA_FORWARDING,
						     NETCONFA_IFINDEX_DEFAULT,
						     net->ipv6.devconf_dflt);

		addrconf_forward_change(net, newf);
		if ((!newf) ^ (!old))
			inet6_netconf_notify_devconf(net, RTM_NEWNETCONF, NETCONFA_FORWARDING,
						     NETCONFA_IFINDEX_ALL, net->ipv6.devconf_all);
	} else if ((!newf) ^ (!old))
		dev_forward_change((struct inet6_dev *)table->extra1);
	rtnl_unlock();

	if (newf)
		rt6_purge_dflt_routers(net);
	return 0;
}

static int fixed_addrconf_sysctl_forward(struct ctl_table *ctl, int write, void *buffer,
					 size_t *lenp, loff_t *ppos)
{
	int *valp = ctl->data;
	int val = *valp;
	loff_t pos = *ppos;
	struct ctl_table lctl;
	int ret;

	/*
	 * ctl->data points to idev->cnf.forwarding, we should
	 * not modify it until we get the rtnl lock.
	 */
	lctl = *ctl;
	lctl.data = &val;

	ret = proc_dointvec(&lctl, write, buffer, lenp, ppos);
	if (ret)
		return ret;

	if (write)
		ret = addrconf_fixup_forwarding(ctl, valp, val);
	if (ret)
		*ppos = pos;
	return ret;
}

VMPOKE_HOTFIX("real-ipv6-forwarding", "1", "ipv6: a write to forwarding is told right");
VMPOKE_REPLACE(addrconf_sysctl_forward, fixed_addrconf_sysctl_forward);
