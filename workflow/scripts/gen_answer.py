"""Run one batch of answers: rule gen_answer. Uses the code of rule gen_judgment.

python gen_answer.py <root>/batches/<batch>.json --tries-left 2
"""

import sys

from gen_judgment import main

if __name__ == "__main__":
    sys.exit(main())
