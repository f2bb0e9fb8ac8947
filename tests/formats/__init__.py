"""Projects that earlier formats left behind, each a backup in a tar file: today's treadle must go on with them."""
