#!/bin/sh
# The first process of a test kernel. The names between @ are filled in before it is started.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/lock /run/tmp
export TMPDIR=/run/tmp

# The modules are not where this kernel looks for them: tell those who ask, and the kernel itself.
export MODPROBE_OPTIONS="-d "@modules@
printf '#!/bin/sh\nexport MODPROBE_OPTIONS="%s"\nexec /sbin/modprobe "$@"\n' "$MODPROBE_OPTIONS" >/run/modprobe
chmod +x /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe

ip link set lo up
schedulers=$(find @modules@/lib/modules/"$(uname -r)"/kernel/net/netfilter/ipvs/ -name 'ip_vs_*.ko' -printf '%f ')
modprobe -a ip_vs $(echo "$schedulers" | sed 's/\.ko//g')

cd @folder@
@run@ </dev/null
echo $? >@status@
sync
# The end of transmission: what the kernel says from here on is about turning off and nobody's concern.
printf '\004\n'
# Turning off takes a moment in which files can no longer be read, and the first process must not end before.
sleep 60 &
echo o >/proc/sysrq-trigger
wait
