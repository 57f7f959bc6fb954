/* Copyright The Undercroft authors. SPDX-License-Identifier: Apache-2.0 */
/* lwIP for the sensor: no operating system, static memory only, IPv4 and UDP. */
#ifndef UNDERCROFT_LWIPOPTS_H
#define UNDERCROFT_LWIPOPTS_H

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0 /* one caller at a time: net/stack.hpp */
#define LWIP_SOCKET 0
#define LWIP_NETCONN 0
#define LWIP_TIMERS 1

/* Memory: static arrays only. The heap serves ARP, DHCP, ICMP and SNTP packets. */
#define MEM_LIBC_MALLOC 0
#define MEMP_MEM_MALLOC 0
#define MEM_ALIGNMENT 8
#define MEM_SIZE (16 * 1024)
#define MEMP_NUM_PBUF 8
#define MEMP_NUM_UDP_PCB 4
#define MEMP_NUM_SYS_TIMEOUT 8
#define PBUF_POOL_SIZE 8
#define PBUF_POOL_BUFSIZE 2048 /* one frame, one pbuf: longer frames are dropped before lwIP */

#define LWIP_IPV4 1
#define LWIP_IPV6 0
#define LWIP_ARP 1
#define ARP_QUEUEING 0
#define ETHARP_TRUST_IP_MAC 0
#define LWIP_ETHERNET 1
#define LWIP_ICMP 1
#define LWIP_RAW 0
#define LWIP_UDP 1
#define LWIP_TCP 0
#define LWIP_DNS 0
#define LWIP_IGMP 0
#define LWIP_AUTOIP 0
#define LWIP_ACD 0
#define LWIP_DHCP 1
#define LWIP_DHCP_GET_NTP_SRV 0
#define DHCP_DOES_ARP_CHECK 0
#define IP_REASSEMBLY 0 /* nothing that speaks to the sensor needs it, and its state is an attacker's */
#define IP_FRAG 0
#define IP_FORWARD 0
#define LWIP_MULTICAST_PING 0
#define LWIP_BROADCAST_PING 0
#define LWIP_SUPPORT_CUSTOM_PBUF 1 /* datagrams are sealed in place in the pbuf that is sent */
#define LWIP_NETIF_TX_SINGLE_PBUF 1
#define LWIP_NETIF_LINK_CALLBACK 0
#define LWIP_NETIF_STATUS_CALLBACK 0
#define LWIP_NETIF_LOOPBACK 0
#define LWIP_HAVE_LOOPIF 0
#define LWIP_SINGLE_NETIF 1
#define ETH_PAD_SIZE 0

#define LWIP_STATS 0
#define LWIP_CHECKSUM_ON_COPY 0
#define LWIP_DEBUG 0

#endif
