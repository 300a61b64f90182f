"""Make the answers of one batch: rule gen_answer. The program of rule gen_judgment, another prompt.

python gen_answer.py <root>/batches/<batch>.json --tries-left 2
"""

import sys

from gen_judgment import main

if __name__ == "__main__":
    sys.exit(main())
